//! Waiting for a pretended task.

use std::sync::Arc;

use async_trait::async_trait;

use super::container::{Container, Core};
use crate::contract::{Context, ContextEnd, RunResult, WaitResult, result_of_end};

/// A task that has been started.
pub(super) struct MockWait {
    pub(super) container: Arc<Container>,
}

#[async_trait]
impl WaitResult for MockWait {
    async fn wait(&self, context: &Context) -> RunResult {
        let container = &self.container;
        let result = tokio::select! {
            biased;
            result = container.until(|core| core.result.clone()) => result,
            end = context.done() => self.at_end(end).await,
        };
        container.measuring.cancel();
        result
    }
}

impl MockWait {
    /// A task that has ended, and whose last output is still on its way, is no longer the context's
    /// business: each wait says the same of it.
    async fn at_end(&self, end: ContextEnd) -> RunResult {
        if self.container.look(Core::alive) {
            return result_of_end(end);
        }
        self.container.until(|core| core.result.clone()).await
    }
}

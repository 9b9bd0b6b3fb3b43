//! Removing a pretended container, once, whoever asks and whoever stays to see it.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::Operation;
use super::container::{Container, Core, pause};
use crate::contract::{Result, State};

impl Container {
    /// What close said, as soon as it is known.
    pub(super) fn removal(&self) -> Option<Result<()>> {
        self.look(|core| core.removal.clone())
    }

    /// Waits for what close says.
    pub(super) async fn removed(&self) -> Result<()> {
        self.until(|core| core.removal.clone()).await
    }

    /// Sees to it that the container is removed, whoever still waits for that.
    pub(super) fn begin_close(self: &Arc<Self>) {
        let running = self.change(|core| {
            let first = !std::mem::replace(&mut core.closing, true);
            first.then_some(core.alive() || core.state == State::Exited)
        });
        let Some(running) = running else { return };
        self.measuring.cancel();
        let removal = Removal(Arc::clone(self));
        let delay = self.play.delay_of(Operation::Close);
        if !running && delay.is_zero() {
            return drop(removal);
        }
        // Without a runtime nothing runs, and there is no one to wait.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                removal.0.until(|core| core.played_out().then_some(())).await;
                pause(delay).await;
            });
        }
    }

    fn finish_close(&self) {
        let answer = self.fault(Operation::Close);
        // Elsewhere, because dropping a stream may run anything.
        let _streams = self.change(|core| {
            if std::mem::take(&mut core.has_id) {
                self.driver.free_id(&self.id);
            }
            core.state = State::Closed;
            core.removal = Some(answer);
            core.streams.take()
        });
    }
}

impl Core {
    /// Whether nothing of the task, its streams included, goes on.
    fn played_out(&self) -> bool {
        match self.state {
            State::Running | State::Frozen => false,
            // A task that could not be started has no result.
            State::Exited => self.result.is_some() || self.streams.is_some(),
            _ => true,
        }
    }
}

/// A removal that has begun ends, even if the runtime stops in the middle.
struct Removal(Arc<Container>);

impl Drop for Removal {
    fn drop(&mut self) {
        self.0.finish_close();
    }
}

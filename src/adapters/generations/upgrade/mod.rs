//! A driver of generation B under an agent of the third: the way back.
//!
//! A driver that knows nothing but the seven methods of its generation becomes a whole
//! [`contract::Driver`]: the stages are kept here, and what the driver cannot do is
//! [`Unsupported`](crate::contract::ErrorKind::Unsupported). One that offers more, as
//! [`b::Facade`] does, is asked for it, so that the way there and back loses
//! nothing.
//!
//! | third generation | a plain driver of generation B | one with a [`Draft`](b::Draft) |
//! |---|---|---|
//! | `create_cookie` | keeps the task | `draft` |
//! | `validate_image`, `pull_image` | nothing to do | the draft's |
//! | `container_options` | `Unsupported` | the draft's |
//! | `create_container` | `prepare`; its error is kept, because the task's streams are spent | the draft's `prepare` |
//! | `signal`, `stop` | `Unsupported` | the cookie's |
//! | `state` | follows the calls; an end is seen by `wait` | the cookie's |
//! | `exit_info` | `None` | the cookie's |

mod cookie;
#[cfg(test)]
mod plain;
mod stages;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::b;
use crate::contract::{
    self, BackOffConfig, CallExtensions, ContainerTask, Context, Error, ErrorKind, Result,
    RetryErrorChecker, async_trait,
};

/// A driver of the third generation whose containers are those of one of generation B.
pub struct Upgraded {
    driver: Arc<dyn b::Driver>,
    closed: AtomicBool,
}

impl Upgraded {
    /// Puts `driver` under the third generation's contract.
    #[must_use]
    pub fn new(driver: Arc<dyn b::Driver>) -> Upgraded {
        Upgraded { driver, closed: AtomicBool::new(false) }
    }
}

#[async_trait]
impl contract::Driver for Upgraded {
    async fn create_cookie(
        &self,
        context: &Context,
        task: Arc<dyn ContainerTask>,
    ) -> Result<Box<dyn contract::Cookie>> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, "the driver has been closed"));
        }
        let draft = self.driver.draft(context, Arc::clone(&task)).await?;
        Ok(Box::new(cookie::Cookie::new(Arc::clone(&self.driver), task, draft)))
    }

    fn set_pull_image_retry_policy(
        &self,
        policy: BackOffConfig,
        checker: RetryErrorChecker,
    ) -> Result<()> {
        policy.check()?;
        self.driver.set_pull_image_retry_policy(policy, checker)
    }

    fn get_slot_key_extensions(&self, extensions: &CallExtensions) -> String {
        self.driver.get_slot_key_extensions(extensions)
    }

    async fn close(&self) -> Result<()> {
        self.closed.store(true, Ordering::Release);
        self.driver.close().await
    }
}

impl fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgraded").field("closed", &self.closed).finish_non_exhaustive()
    }
}

//! Stopping a running cell where it is, and letting it go on.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::live::{Live, given_up, out_of_order};
use crate::contract::{Context, Result};
use crate::native::error::lift;

impl Live {
    /// Stops the cell, mostly without leaving this thread: the kernel needs some 20 µs.
    pub(super) async fn freeze(self: &Arc<Self>, context: &Context) -> Result<()> {
        self.set_frozen(context, true).await
    }

    /// Lets it go on.
    pub(super) async fn unfreeze(self: &Arc<Self>, context: &Context) -> Result<()> {
        self.set_frozen(context, false).await
    }

    async fn set_frozen(self: &Arc<Self>, context: &Context, frozen: bool) -> Result<()> {
        let op = if frozen { "freeze" } else { "unfreeze" };
        let gate = context.run(Arc::clone(&self.freezing).lock_owned()).await?;
        self.must_run(op)?;
        if self.frozen.load(Ordering::Acquire) == frozen {
            let is = if frozen { "is frozen already" } else { "is not frozen" };
            return Err(out_of_order(op, is));
        }
        let at_once = match frozen {
            true => self.cgroup.try_freeze(),
            false => self.cgroup.try_thaw(),
        };
        let done = match at_once {
            Ok(true) => Ok(()),
            Err(error) => Err(error),
            Ok(false) => {
                let live = Arc::clone(self);
                // It goes on without us if the context ends: a half-frozen cell helps nobody.
                let slow = tokio::task::spawn_blocking(move || {
                    let done = match frozen {
                        true => live.cgroup.freeze(),
                        false => live.cgroup.thaw(),
                    };
                    if done.is_ok() {
                        live.frozen.store(frozen, Ordering::Release);
                    }
                    drop(gate);
                    done
                });
                let done = context.run(slow).await?.map_err(|error| given_up(&error))?;
                self.must_run(op)?;
                // What it stands at now may be someone else's doing: the gate is open again.
                return done.map_err(|error| lift(op, error.into()));
            }
        };
        // The end may have come first, and taken the cgroup with it.
        self.must_run(op)?;
        done.map_err(|error| lift(op, error.into()))?;
        self.frozen.store(frozen, Ordering::Release);
        Ok(())
    }
}

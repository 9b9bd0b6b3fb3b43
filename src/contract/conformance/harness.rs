//! What the author of a driver supplies.

use std::sync::Arc;

use async_trait::async_trait;

use crate::contract::{Driver, Result, TaskBuilder};

/// Makes the driver that is checked, and tasks that do some simple work in it.
#[async_trait]
pub trait Harness: Send + Sync {
    /// A driver, new or shared with other checks, but not with one that has been closed. Each check
    /// asks once and closes it at its end.
    ///
    /// # Errors
    /// Fails the check.
    async fn driver(&self) -> Result<Arc<dyn Driver>>;

    /// A task that does `work`. The check sets its id, its streams and its memory limit.
    fn task(&self, work: Work) -> TaskBuilder;

    /// Whether the driver can do what is optional. The checks that need it are skipped if not.
    fn can(&self, capability: Capability) -> bool {
        let _ = capability;
        true
    }
}

/// What a task does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Work {
    /// Exits with 0 at once, writing nothing.
    Succeed,
    /// Exits with this code at once, writing nothing.
    Exit(u8),
    /// Sends itself this signal at once, and dies of it.
    KillSelf(i32),
    /// Sleeps for minutes. SIGTERM ends it from its first moment on.
    Sleep,
    /// Makes itself deaf to SIGTERM, then writes anything to standard output, then sleeps for
    /// minutes.
    SleepDeaf,
    /// Copies standard input to standard output, as it comes, and exits with 0 at the end of file.
    Echo,
    /// Writes exactly this, without a line's end, and exits with 0.
    Say {
        /// To standard output.
        stdout: &'static str,
        /// To standard error.
        stderr: &'static str,
    },
    /// Writes this environment variable's value to standard output, with or without a line's end,
    /// and exits with 0.
    PrintEnv(&'static str),
    /// Uses more and more memory until the kernel kills it; the task has a limit of 64 MB.
    ExhaustMemory,
    /// Anything, in an image that has to be pulled. The pull may fail.
    MissingImage,
    /// Anything, in an image that declares a volume, which the driver's configuration forbids.
    ImageWithVolume,
}

/// What not every driver can do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Capability {
    /// Freeze and unfreeze.
    Freeze,
    /// Limit memory, and tell when that has killed the task: [`Work::ExhaustMemory`].
    MemoryLimit,
    /// Tell that an image has to be pulled: [`Work::MissingImage`].
    MissingImage,
    /// Refuse images with volumes: [`Work::ImageWithVolume`].
    ImageWithVolume,
}

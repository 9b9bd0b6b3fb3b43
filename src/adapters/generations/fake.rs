//! A small driver of the third generation for the tests of this folder: no processes, every call
//! logged, failures on demand.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use oci_spec::runtime::Spec;

use super::fake_cookie::FakeCookie;
use crate::contract::{self, *};

/// What the container's command is.
#[derive(Default)]
pub(super) enum Program {
    /// Ends at once with this code.
    Exit(u8),
    /// Reads `{"name":"x"}` and answers `Hello x!`.
    Hello,
    /// Never ends by itself.
    #[default]
    Sleep,
    /// Nor does SIGTERM end it.
    Deaf,
    /// The driver loses sight of it.
    Lost,
}

#[derive(Default)]
pub(super) struct Fake {
    pub(super) program: Program,
    /// How often the image is still missing when it is looked for.
    pub(super) missing: AtomicUsize,
    /// The calls that fail, each with its name as the message.
    pub(super) fail: &'static [&'static str],
    /// The call that lasts until its context ends.
    pub(super) hang: &'static str,
    pub(super) calls: Mutex<Vec<String>>,
    /// What the last container was asked for: name, memory, specification.
    pub(super) seen: Mutex<(String, u64, Option<Spec>)>,
    pub(super) live: AtomicUsize,
}

impl Fake {
    pub(super) async fn call(&self, context: &Context, name: &str) -> Result<()> {
        self.calls.lock().unwrap().push(name.to_owned());
        if self.hang == name {
            return Err(context.done().await.into());
        }
        match self.fail.contains(&name) {
            true => Err(Error::new(ErrorKind::Host, name)),
            false => Ok(()),
        }
    }

    pub(super) fn calls(&self) -> String {
        self.calls.lock().unwrap().join(" ")
    }

    pub(super) fn shares(&self) -> Option<u64> {
        let seen = self.seen.lock().unwrap();
        let spec = serde_json::to_value(seen.2.as_ref().unwrap()).unwrap();
        spec["linux"]["resources"]["cpu"]["shares"].as_u64()
    }

    /// Waits until nothing is left of any container.
    pub(super) async fn empty(&self) {
        while self.live.load(SeqCst) > 0 {
            tokio::task::yield_now().await;
        }
    }
}

pub(super) struct FakeDriver(pub(super) Arc<Fake>);

#[async_trait]
impl contract::Driver for FakeDriver {
    async fn create_cookie(
        &self,
        context: &Context,
        task: Arc<dyn ContainerTask>,
    ) -> Result<Box<dyn Cookie>> {
        self.0.call(context, "create_cookie").await?;
        self.0.live.fetch_add(1, SeqCst);
        *self.0.seen.lock().unwrap() = (task.id(), task.memory(), None);
        Ok(Box::new(FakeCookie::new(Arc::clone(&self.0), task)))
    }

    fn set_pull_image_retry_policy(&self, _: BackOffConfig, _: RetryErrorChecker) -> Result<()> {
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        self.0.call(&Context::background(), "driver_close").await
    }
}

/// A writer that others can read, and a task that has it as its output.
pub(super) fn greeting_task() -> (Arc<Task>, tokio::io::DuplexStream) {
    let (ours, theirs) = tokio::io::duplex(1024);
    let input = &br#"{"name":"test"}"#[..];
    (Arc::new(Task::builder("iron/hello").id("hello").input(input).stdout(theirs).build()), ours)
}

pub(super) fn plain_task() -> Arc<Task> {
    Arc::new(Task::builder("rootfs:/").id("t").memory(64 << 20).build())
}

//! A driver of the contract on a test's bed, tasks for it, and a writer that can be looked at.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context as Poller, Poll};
use std::time::Duration;

use hotcell::contract::{
    Config, Context, Cookie, Driver, RunResult, State, Task, TaskBuilder, WaitResult,
};
use hotcell::native::NativeDriver;
use tokio::io::AsyncWrite;

use crate::bed::{Bed, cgroup_dirs};
use crate::host::fixture;

/// Long enough for anything that works, short enough to see what hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `work` on a runtime of its own, which is gone when it returns.
#[track_caller]
pub fn on_runtime<T>(work: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let done = runtime.block_on(async { tokio::time::timeout(PATIENCE * 10, work).await });
    done.expect("it hangs")
}

/// A context that never ends.
pub fn background() -> Context {
    Context::background()
}

/// A driver with fn's defaults.
pub fn driver(bed: &Bed) -> NativeDriver {
    driver_with(bed, Config::default())
}

pub fn driver_with(bed: &Bed, config: Config) -> NativeDriver {
    NativeDriver::open(config, bed.options()).unwrap()
}

/// A task on the busybox root that runs `script` in a shell: the shell reads it from its standard
/// input, because a command has no quoting.
pub fn shell(script: &str) -> TaskBuilder {
    command("sh").input(io::Cursor::new(script.as_bytes().to_vec()))
}

/// A task on the busybox root.
pub fn command(command: &str) -> TaskBuilder {
    let image = format!("rootfs:{}", fixture("busybox").display());
    Task::builder(image).command(command)
}

/// A cookie that has been created as a container.
pub async fn created(driver: &dyn Driver, task: TaskBuilder) -> Box<dyn Cookie> {
    let cookie = driver.create_cookie(&background(), Arc::new(task.build())).await.unwrap();
    assert!(!cookie.validate_image(&background()).await.unwrap());
    cookie.create_container(&background()).await.unwrap();
    cookie
}

/// A container whose task runs.
pub async fn started(
    driver: &dyn Driver,
    task: TaskBuilder,
) -> (Box<dyn Cookie>, Box<dyn WaitResult>) {
    let cookie = created(driver, task).await;
    let wait = cookie.run(&background()).await.unwrap();
    (cookie, wait)
}

/// Runs a task from cookie to close.
pub async fn finished(driver: &dyn Driver, task: TaskBuilder) -> RunResult {
    let (cookie, wait) = started(driver, task).await;
    let result = wait.wait(&background()).await;
    cookie.close(&background()).await.unwrap();
    result
}

/// What a task wrote, for a test to look at while it runs and after.
#[derive(Clone, Default)]
pub struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.bytes()).unwrap()
    }

    /// Waits until `text` has been written.
    pub async fn has(&self, text: &str) {
        let seen = async {
            while !self.text().contains(text) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let seen = tokio::time::timeout(PATIENCE, seen).await;
        assert!(seen.is_ok(), "no {text:?} in {:?}", self.text());
    }
}

impl AsyncWrite for Sink {
    fn poll_write(self: Pin<&mut Self>, _: &mut Poller, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Poller) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Poller) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A task's output as text, with how it ended.
pub async fn output(driver: &dyn Driver, task: TaskBuilder) -> (RunResult, String, String) {
    let (out, err) = (Sink::default(), Sink::default());
    let result = finished(driver, task.stdout(out.clone()).stderr(err.clone())).await;
    (result, out.text(), err.text())
}

/// A task on the Debian root that runs `script` in Python, which reads it from its standard input.
pub fn python(script: &str) -> TaskBuilder {
    let image = format!("rootfs:{}", fixture("debian").display());
    Task::builder(image).command("python3 -").input(io::Cursor::new(script.as_bytes().to_vec()))
}

/// A directory of the test's that the task's user may write to.
pub fn open_dir(bed: &Bed, name: &str) -> String {
    let dir = bed.path(name);
    std::fs::create_dir(&dir).unwrap();
    std::os::unix::fs::chown(&dir, Some(1000), Some(1000)).unwrap();
    dir.to_str().unwrap().to_owned()
}

/// Waits until the container is in `state`.
pub async fn reaches(cookie: &dyn Cookie, state: State) {
    let reached = async {
        while cookie.state() != state {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let reached = tokio::time::timeout(PATIENCE, reached).await;
    assert!(reached.is_ok(), "it is {} and not {state}", cookie.state());
}

/// A context that ended before anybody looked at it.
pub fn dead() -> Context {
    let (context, canceller) = background().with_cancel();
    canceller.cancel();
    context
}

/// The test run's cgroups that exist now, one path for each cell and hierarchy.
pub fn cells() -> Vec<PathBuf> {
    let entries = cgroup_dirs().into_iter().flat_map(std::fs::read_dir).flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

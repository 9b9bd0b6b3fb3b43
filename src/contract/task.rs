//! What is to be run: the questions a driver asks of a task.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};

use super::hooks::Wrap;
use super::{
    AfterCall, BeforeCall, Call, CallExtensions, CloseTask, Context, LoggerConfig, Result, Stat,
};

/// Where a task's standard input comes from.
///
/// It is read as the task reads, ahead by what a pipe holds, and dropped at its end, when the task
/// stops reading, or when that ends. If it fails, the task reads the end of file there, and the
/// failure is the result: [`Stream`](super::ErrorKind::Stream).
pub type Input = Box<dyn AsyncRead + Send + Unpin>;

/// Where a task's output goes.
///
/// It is written as the task writes, and flushed whenever there is no more for now. One that is slow
/// holds up the task when 256 KiB and a pipe's worth (64 KiB as a rule) are waiting for it.
///
/// At the end it is given the rest, flushed, shut down and dropped: it was handed over, so nobody
/// else could do it. The result waits 100 ms after the task's end for that. A failure by then,
/// flushing and shutting down included, is the result: [`Stream`](super::ErrorKind::Stream). After it
/// the task's own end is the result, the rest is delivered in the background, and a failure is
/// logged. A writer that makes no progress for 10 s after the task's end has failed, and is dropped.
///
/// One that has failed is given nothing more; the task does not notice.
pub type Output = Box<dyn AsyncWrite + Send + Unpin>;

/// A task, as an embedder defines it. Every question but the image has a default answer; a driver
/// asks each at most once for a cookie, when it makes that. [`Task`](super::Task) is a ready-made
/// one.
#[async_trait]
pub trait ContainerTask: Send + Sync {
    /// Unique among containers, and the container's name: 1 to 64 letters, digits, `_`, `.` and `-`,
    /// the first a letter or digit. Empty: the driver makes one up.
    fn id(&self) -> String {
        String::new()
    }

    /// The command and its arguments, separated by white space without any quoting; empty: the
    /// image's own. An argument with a space goes in through
    /// [`container_options`](super::Cookie::container_options).
    fn command(&self) -> String {
        String::new()
    }

    /// Environment variables, added to the image's.
    fn env_vars(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// Standard input; `None` (fn's `NoopReadWriteCloser`): the task reads the end of file at once.
    /// Each cookie of the task needs one of its own: a task that has none left gives one that fails.
    fn input(&self) -> Option<Input> {
        None
    }

    /// Standard output and standard error; `None`: what is written there is discarded. Each cookie
    /// of the task needs its own: a task that has none left gives some that fail.
    fn logger(&self) -> (Option<Output>, Option<Output>) {
        (None, None)
    }

    /// The image. `rootfs:DIR` names a directory of the host that serves as one.
    fn image(&self) -> String;

    /// Takes a measurement, about once a second and one at the end. Called by one caller at a time;
    /// one that does not return keeps the next from coming, nothing else. It must not block its
    /// thread.
    async fn write_stat(&self, context: &Context, stat: Stat) {
        let _ = (context, stat);
    }

    /// Directories of the host the task may write to, as pairs of host path and container path.
    fn volumes(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// The most memory in bytes, without any swap; 0: no limit.
    fn memory(&self) -> u64 {
        0
    }

    /// CPU time in thousandths of a CPU; 0: no limit.
    fn cpus(&self) -> u64 {
        0
    }

    /// The most it may write to its root, in MB (2^20 bytes); 0: no limit.
    fn fs_size(&self) -> u64 {
        0
    }

    /// The size of `/tmp` in MB (2^20 bytes); 0: no limit of its own.
    fn tmp_fs_size(&self) -> u64 {
        0
    }

    /// The most processes and threads, the container's init included; 0: no limit.
    fn pids(&self) -> u64 {
        0
    }

    /// The most open files of a process; `None`: the host's default.
    fn open_files(&self) -> Option<u64> {
        None
    }

    /// The most locked memory of a process in bytes; `None`: the host's default.
    fn locked_memory(&self) -> Option<u64> {
        None
    }

    /// The most pending signals; `None`: the host's default.
    fn pending_signals(&self) -> Option<u64> {
        None
    }

    /// The most bytes in POSIX message queues; `None`: the host's default.
    fn message_queue(&self) -> Option<u64> {
        None
    }

    /// The working directory; empty: the image's own.
    fn work_dir(&self) -> String {
        String::new()
    }

    /// Where the log goes beside the streams.
    fn logger_config(&self) -> LoggerConfig {
        LoggerConfig::default()
    }

    /// For drivers that wrap others.
    fn extensions(&self) -> CallExtensions {
        CallExtensions::new()
    }

    /// The directory of the function's socket as the embedder sees it.
    fn uds_agent_path(&self) -> String {
        String::new()
    }

    /// The same directory as the container's host sees it; empty: there is none. It is mounted on
    /// [`uds_docker_dest`](ContainerTask::uds_docker_dest), writable.
    fn uds_docker_path(&self) -> String {
        String::new()
    }

    /// Where the container sees it.
    fn uds_docker_dest(&self) -> String {
        String::new()
    }

    /// Whether the container has nothing but its own loopback interface.
    fn disable_net(&self) -> bool {
        false
    }

    /// Labels of the container. Only the first generation's tasks have them.
    fn labels(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// How long the task may run; `None`: for ever. Only the first generation's drivers look at it.
    fn timeout(&self) -> Option<Duration> {
        None
    }

    /// Who knows the credentials for the image, asked only when it is pulled.
    fn auther(&self) -> Option<&dyn Auther> {
        None
    }

    /// Cleans up after the task. May be called more than once.
    fn close(&self) {}

    /// Puts something around [`close`](ContainerTask::close), and says whether the
    /// task has taken it. One that has not goes on as before: a driver that depends on its hook has
    /// to refuse the task.
    #[must_use = "a task that has not taken it goes on without it"]
    fn wrap_close(&self, wrap: Wrap<CloseTask>) -> bool {
        let _ = wrap;
        false
    }

    /// Runs before a call that the container is going to serve.
    ///
    /// # Errors
    /// Ends the container.
    async fn before_call(
        &self,
        context: &Context,
        call: &Call,
        extensions: &CallExtensions,
    ) -> Result<()> {
        let _ = (context, call, extensions);
        Ok(())
    }

    /// Puts something around [`before_call`](ContainerTask::before_call), once for all calls, and says whether the
    /// task has taken it. One that has not goes on as before: a driver that depends on its hook has
    /// to refuse the task.
    #[must_use = "a task that has not taken it goes on without it"]
    fn wrap_before_call(&self, wrap: Wrap<BeforeCall>) -> bool {
        let _ = wrap;
        false
    }

    /// Runs after a call, if [`before_call`](ContainerTask::before_call) went well.
    ///
    /// # Errors
    /// Ends the container.
    async fn after_call(
        &self,
        context: &Context,
        call: &Call,
        extensions: &CallExtensions,
    ) -> Result<()> {
        let _ = (context, call, extensions);
        Ok(())
    }

    /// Puts something around [`after_call`](ContainerTask::after_call), once for all calls, and says whether the
    /// task has taken it. One that has not goes on as before: a driver that depends on its hook has
    /// to refuse the task.
    #[must_use = "a task that has not taken it goes on without it"]
    fn wrap_after_call(&self, wrap: Wrap<AfterCall>) -> bool {
        let _ = wrap;
        false
    }
}

/// What a registry wants to see.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct AuthConfiguration {
    /// The user's name.
    pub username: String,
    /// The user's password.
    pub password: String,
    /// A bearer token, instead of the two above.
    pub registry_token: String,
    /// The registry it is for.
    pub server_address: String,
}

impl std::fmt::Debug for AuthConfiguration {
    /// Without the secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthConfiguration")
            .field("username", &self.username)
            .field("server_address", &self.server_address)
            .finish_non_exhaustive()
    }
}

/// Knows the credentials for an image.
#[async_trait]
pub trait Auther: Send + Sync {
    /// The credentials; `None`: look in the configured registries.
    ///
    /// # Errors
    /// Ends the pull.
    async fn docker_auth(
        &self,
        context: &Context,
        image: &str,
    ) -> Result<Option<AuthConfiguration>>;
}

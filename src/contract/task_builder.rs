//! Building a ready-made task, value by value.

use std::collections::BTreeMap;
use std::convert::identity;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

#[cfg(doc)]
use super::ContainerTask;
use super::hooks::{Hook, no_call_hook};
use super::slot::Slot;
use super::task::{Input, Output};
use super::{Auther, CallExtensions, LoggerConfig, Stat, Task};

type OnStat = Arc<dyn Fn(Stat) + Send + Sync>;

/// The answers that are plain values.
#[derive(Default)]
pub(super) struct Values {
    pub(super) id: String,
    pub(super) command: String,
    pub(super) env_vars: BTreeMap<String, String>,
    pub(super) image: String,
    pub(super) on_stat: Option<OnStat>,
    pub(super) volumes: Vec<(String, String)>,
    pub(super) memory: u64,
    pub(super) cpus: u64,
    pub(super) fs_size: u64,
    pub(super) tmp_fs_size: u64,
    pub(super) pids: u64,
    pub(super) open_files: Option<u64>,
    pub(super) locked_memory: Option<u64>,
    pub(super) pending_signals: Option<u64>,
    pub(super) message_queue: Option<u64>,
    pub(super) work_dir: String,
    pub(super) logger_config: LoggerConfig,
    pub(super) extensions: CallExtensions,
    pub(super) uds: (String, String, String),
    pub(super) disable_net: bool,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) timeout: Option<Duration>,
    pub(super) auther: Option<Arc<dyn Auther>>,
}

/// Collects the values of a [`Task`]. What isn't set has the contract's default.
#[must_use]
pub struct TaskBuilder {
    values: Values,
    input: Option<Input>,
    stdout: Option<Output>,
    stderr: Option<Output>,
}

impl Task {
    /// Begins a task that runs in `image`.
    pub fn builder(image: impl Into<String>) -> TaskBuilder {
        let values = Values { image: image.into(), ..Values::default() };
        TaskBuilder { values, input: None, stdout: None, stderr: None }
    }
}

/// A setter for each value that is stored as it is given.
macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $kind:ty => $store:expr,)*) => {
        $($(#[$doc])*
        pub fn $name(mut self, $name: $kind) -> TaskBuilder {
            self.values.$name = $store($name);
            self
        })*
    };
}

impl TaskBuilder {
    setters! {
        /// See [`ContainerTask::id`].
        id: impl Into<String> => Into::into,
        /// See [`ContainerTask::command`].
        command: impl Into<String> => Into::into,
        /// In bytes; see [`ContainerTask::memory`].
        memory: u64 => identity,
        /// In thousandths of a CPU; see [`ContainerTask::cpus`].
        cpus: u64 => identity,
        /// In MB; see [`ContainerTask::fs_size`].
        fs_size: u64 => identity,
        /// In MB; see [`ContainerTask::tmp_fs_size`].
        tmp_fs_size: u64 => identity,
        /// See [`ContainerTask::pids`].
        pids: u64 => identity,
        /// See [`ContainerTask::open_files`].
        open_files: u64 => Some,
        /// In bytes; see [`ContainerTask::locked_memory`].
        locked_memory: u64 => Some,
        /// See [`ContainerTask::pending_signals`].
        pending_signals: u64 => Some,
        /// In bytes; see [`ContainerTask::message_queue`].
        message_queue: u64 => Some,
        /// See [`ContainerTask::work_dir`].
        work_dir: impl Into<String> => Into::into,
        /// See [`ContainerTask::logger_config`].
        logger_config: LoggerConfig => identity,
        /// See [`ContainerTask::extensions`].
        extensions: CallExtensions => identity,
        /// See [`ContainerTask::disable_net`].
        disable_net: bool => identity,
        /// See [`ContainerTask::labels`].
        labels: BTreeMap<String, String> => identity,
        /// See [`ContainerTask::timeout`].
        timeout: Duration => Some,
    }

    /// Adds an environment variable.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> TaskBuilder {
        self.values.env_vars.insert(name.into(), value.into());
        self
    }

    /// See [`ContainerTask::input`].
    pub fn input(mut self, input: impl AsyncRead + Send + Unpin + 'static) -> TaskBuilder {
        self.input = Some(Box::new(input));
        self
    }

    /// Where standard output goes.
    pub fn stdout(mut self, output: impl AsyncWrite + Send + Unpin + 'static) -> TaskBuilder {
        self.stdout = Some(Box::new(output));
        self
    }

    /// Where standard error goes.
    pub fn stderr(mut self, output: impl AsyncWrite + Send + Unpin + 'static) -> TaskBuilder {
        self.stderr = Some(Box::new(output));
        self
    }

    /// What is done with each measurement. It must not block.
    pub fn on_stat(mut self, on_stat: impl Fn(Stat) + Send + Sync + 'static) -> TaskBuilder {
        self.values.on_stat = Some(Arc::new(on_stat));
        self
    }

    /// Adds a directory of the host that the task may write to.
    pub fn volume(mut self, host: impl Into<String>, container: impl Into<String>) -> TaskBuilder {
        self.values.volumes.push((host.into(), container.into()));
        self
    }

    /// The directory of the function's socket: as the embedder, as the host and as the container
    /// sees it.
    pub fn uds(
        mut self,
        agent_path: impl Into<String>,
        docker_path: impl Into<String>,
        docker_dest: impl Into<String>,
    ) -> TaskBuilder {
        self.values.uds = (agent_path.into(), docker_path.into(), docker_dest.into());
        self
    }

    /// See [`ContainerTask::auther`].
    pub fn auther(mut self, auther: impl Auther + 'static) -> TaskBuilder {
        self.values.auther = Some(Arc::new(auther));
        self
    }

    /// The task.
    #[must_use]
    pub fn build(self) -> Task {
        Task {
            values: self.values,
            input: Mutex::new(Slot::new(self.input)),
            outputs: Mutex::new((Slot::new(self.stdout), Slot::new(self.stderr))),
            close: Hook::new(Arc::new(|| {})),
            before_call: Hook::new(no_call_hook()),
            after_call: Hook::new(no_call_hook()),
        }
    }
}

impl fmt::Debug for TaskBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskBuilder").field("values", &self.values).finish_non_exhaustive()
    }
}

impl fmt::Debug for Values {
    /// Without the environment, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values")
            .field("id", &self.id)
            .field("image", &self.image)
            .field("command", &self.command)
            .finish_non_exhaustive()
    }
}

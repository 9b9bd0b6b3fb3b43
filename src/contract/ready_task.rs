//! The ready-made task: plain values behind the questions of a driver.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;

use super::hooks::{Hook, Wrap};
use super::slot::{Slot, Spent};
use super::task::{Input, Output};
use super::task_builder::Values;
use super::{
    AfterCall, Auther, BeforeCall, Call, CallExtensions, CloseTask, ContainerTask, Context,
    LoggerConfig, Result, Stat,
};
use crate::unpoisoned::lock;

/// A task made of values, for one cookie: its streams can be given away once. A second cookie gets
/// streams that fail, so that its result is a [`Stream`](super::ErrorKind::Stream) error; without
/// streams a task serves any number of cookies.
///
/// ```
/// use hotcell::contract::{ContainerTask, Task};
///
/// let task = Task::builder("rootfs:/srv/rootfs")
///     .id("greeting")
///     .command("echo hello")
///     .memory(128 << 20)
///     .cpus(500)
///     .build();
/// assert_eq!((task.memory(), task.pids()), (128 << 20, 0));
/// ```
pub struct Task {
    pub(super) values: Values,
    pub(super) input: Mutex<Slot<Input>>,
    pub(super) outputs: Mutex<(Slot<Output>, Slot<Output>)>,
    pub(super) close: Hook<CloseTask>,
    pub(super) before_call: Hook<BeforeCall>,
    pub(super) after_call: Hook<AfterCall>,
}

/// The answer to each question that is a value stored as it was given.
macro_rules! getters {
    ($($name:ident: $kind:ty,)*) => {
        $(fn $name(&self) -> $kind {
            self.values.$name.clone()
        })*
    };
}

#[async_trait]
impl ContainerTask for Task {
    getters! {
        id: String,
        command: String,
        env_vars: BTreeMap<String, String>,
        image: String,
        volumes: Vec<(String, String)>,
        memory: u64,
        cpus: u64,
        fs_size: u64,
        tmp_fs_size: u64,
        pids: u64,
        open_files: Option<u64>,
        locked_memory: Option<u64>,
        pending_signals: Option<u64>,
        message_queue: Option<u64>,
        work_dir: String,
        logger_config: LoggerConfig,
        extensions: CallExtensions,
        disable_net: bool,
        labels: BTreeMap<String, String>,
        timeout: Option<Duration>,
    }

    /// The first time it is asked; then a reader that fails.
    fn input(&self) -> Option<Input> {
        lock(&self.input).take(|| Box::new(Spent("standard input")))
    }

    /// The first time it is asked; then writers that fail.
    fn logger(&self) -> (Option<Output>, Option<Output>) {
        let (stdout, stderr) = &mut *lock(&self.outputs);
        let stdout = stdout.take(|| Box::new(Spent("standard output")));
        let stderr = stderr.take(|| Box::new(Spent("standard error")));
        (stdout, stderr)
    }

    async fn write_stat(&self, _context: &Context, stat: Stat) {
        if let Some(on_stat) = &self.values.on_stat {
            on_stat(stat);
        }
    }

    fn uds_agent_path(&self) -> String {
        self.values.uds.0.clone()
    }

    fn uds_docker_path(&self) -> String {
        self.values.uds.1.clone()
    }

    fn uds_docker_dest(&self) -> String {
        self.values.uds.2.clone()
    }

    fn auther(&self) -> Option<&dyn Auther> {
        self.values.auther.as_deref()
    }

    fn close(&self) {
        self.close.get()();
    }

    fn wrap_close(&self, wrap: Wrap<CloseTask>) -> bool {
        self.close.wrap(wrap);
        true
    }

    async fn before_call(
        &self,
        context: &Context,
        call: &Call,
        extensions: &CallExtensions,
    ) -> Result<()> {
        let hook = self.before_call.get();
        hook(context.clone(), call.clone(), extensions.clone()).await
    }

    fn wrap_before_call(&self, wrap: Wrap<BeforeCall>) -> bool {
        self.before_call.wrap(wrap);
        true
    }

    async fn after_call(
        &self,
        context: &Context,
        call: &Call,
        extensions: &CallExtensions,
    ) -> Result<()> {
        let hook = self.after_call.get();
        hook(context.clone(), call.clone(), extensions.clone()).await
    }

    fn wrap_after_call(&self, wrap: Wrap<AfterCall>) -> bool {
        self.after_call.wrap(wrap);
        true
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("values", &self.values).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

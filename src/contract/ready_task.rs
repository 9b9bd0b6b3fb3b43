//! The ready-made task: plain values behind the questions of a driver.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::hooks::Wrap;
use super::task::{Input, Output};
use super::task_builder::Values;
use super::{
    AfterCall, Auther, BeforeCall, Call, CallExtensions, CloseTask, ContainerTask, Context,
    LoggerConfig, Result, Stat,
};

/// A task made of values.
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
    pub(super) input: Mutex<Option<Input>>,
    pub(super) outputs: Mutex<(Option<Output>, Option<Output>)>,
    pub(super) close: Mutex<CloseTask>,
    pub(super) before_call: Mutex<BeforeCall>,
    pub(super) after_call: Mutex<AfterCall>,
}

/// A panic elsewhere leaves plain values behind, no half-made state.
fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

fn rewrap<T: Clone>(hook: &Mutex<T>, wrap: Wrap<T>) {
    let mut hook = lock(hook);
    *hook = wrap(hook.clone());
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

    /// The first time it is asked; a reader can't be read twice.
    fn input(&self) -> Option<Input> {
        lock(&self.input).take()
    }

    /// The first time it is asked.
    fn logger(&self) -> (Option<Output>, Option<Output>) {
        std::mem::take(&mut *lock(&self.outputs))
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
        // Cloned first: what a wrapper does must not happen behind the lock.
        let close = lock(&self.close).clone();
        close();
    }

    fn wrap_close(&self, wrap: Wrap<CloseTask>) {
        rewrap(&self.close, wrap);
    }

    async fn before_call(
        &self,
        context: &Context,
        call: &Call,
        extensions: &CallExtensions,
    ) -> Result<()> {
        let hook = lock(&self.before_call).clone();
        hook(context.clone(), call.clone(), extensions.clone()).await
    }

    fn wrap_before_call(&self, wrap: Wrap<BeforeCall>) {
        rewrap(&self.before_call, wrap);
    }

    async fn after_call(
        &self,
        context: &Context,
        call: &Call,
        extensions: &CallExtensions,
    ) -> Result<()> {
        let hook = lock(&self.after_call).clone();
        hook(context.clone(), call.clone(), extensions.clone()).await
    }

    fn wrap_after_call(&self, wrap: Wrap<AfterCall>) {
        rewrap(&self.after_call, wrap);
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("values", &self.values).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test]
    async fn hooks_are_wrapped_from_the_inside_out() {
        let task = Task::builder("rootfs:/").build();
        let order = Arc::new(Mutex::new(Vec::new()));
        for name in ["inner", "outer"] {
            let order = Arc::clone(&order);
            task.wrap_before_call(Box::new(move |old| {
                Arc::new(move |context, call, extensions| {
                    order.lock().unwrap().push((name, call.id.clone()));
                    old(context, call, extensions)
                })
            }));
        }
        let call = Call { id: "c1".into(), ..Call::default() };
        let context = Context::background();
        task.before_call(&context, &call, &CallExtensions::new()).await.unwrap();
        task.after_call(&context, &call, &CallExtensions::new()).await.unwrap();
        let seen: Vec<_> = order.lock().unwrap().iter().map(|(name, _)| *name).collect();
        assert_eq!(seen, ["outer", "inner"]);
    }

    #[test]
    fn close_may_be_wrapped_and_called_again() {
        let task = Task::builder("rootfs:/").build();
        let count = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&count);
        task.wrap_close(Box::new(move |old| {
            Arc::new(move || {
                old();
                counter.fetch_add(1, Ordering::Relaxed);
            })
        }));
        task.close();
        task.close();
        assert_eq!(count.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_reader_is_given_away_once() {
        let task = Task::builder("rootfs:/").input(&b"x"[..]).build();
        assert!(task.input().is_some());
        assert!(task.input().is_none());
    }
}

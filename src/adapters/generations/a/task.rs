//! A task as generation A's drivers treat it: another name, the driver's memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::contract::{
    AfterCall, Auther, BeforeCall, Call, CallExtensions, CloseTask, ContainerTask, Context, Input,
    LoggerConfig, Output, Result, Stat, Wrap, async_trait,
};

/// The task behind it, but for its name and memory.
pub(super) struct JobTask {
    task: Arc<dyn ContainerTask>,
    id: String,
    memory: u64,
}

impl JobTask {
    pub(super) fn new(task: Arc<dyn ContainerTask>, memory: u64) -> JobTask {
        let id = match task.id() {
            // No name asked for: the driver makes one up, which can't collide either.
            id if id.is_empty() => id,
            id => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                format!("task-{}-{id}", now.as_nanos())
            }
        };
        JobTask { task, id, memory }
    }
}

/// The answers that are the task's own.
macro_rules! forward {
    ($($name:ident: $kind:ty,)*) => {
        $(fn $name(&self) -> $kind {
            self.task.$name()
        })*
    };
}

#[async_trait]
impl ContainerTask for JobTask {
    forward! {
        command: String,
        env_vars: BTreeMap<String, String>,
        input: Option<Input>,
        logger: (Option<Output>, Option<Output>),
        image: String,
        volumes: Vec<(String, String)>,
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
        uds_agent_path: String,
        uds_docker_path: String,
        uds_docker_dest: String,
        disable_net: bool,
        labels: BTreeMap<String, String>,
        timeout: Option<Duration>,
        auther: Option<&dyn Auther>,
        close: (),
    }

    fn id(&self) -> String {
        self.id.clone()
    }

    /// The driver's. Tasks of this generation have none of their own; one that does is held to the
    /// smaller, because a limit is never dropped.
    fn memory(&self) -> u64 {
        match (self.task.memory(), self.memory) {
            (0, limit) | (limit, 0) => limit,
            (own, all) => own.min(all),
        }
    }

    async fn write_stat(&self, context: &Context, stat: Stat) {
        self.task.write_stat(context, stat).await;
    }

    fn wrap_close(&self, wrap: Wrap<CloseTask>) -> bool {
        self.task.wrap_close(wrap)
    }

    async fn before_call(
        &self,
        context: &Context,
        call: &Call,
        extensions: &CallExtensions,
    ) -> Result<()> {
        self.task.before_call(context, call, extensions).await
    }

    fn wrap_before_call(&self, wrap: Wrap<BeforeCall>) -> bool {
        self.task.wrap_before_call(wrap)
    }

    async fn after_call(
        &self,
        context: &Context,
        call: &Call,
        extensions: &CallExtensions,
    ) -> Result<()> {
        self.task.after_call(context, call, extensions).await
    }

    fn wrap_after_call(&self, wrap: Wrap<AfterCall>) -> bool {
        self.task.wrap_after_call(wrap)
    }
}

//! Tasks that take measurements badly, and what the host says of itself.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use hotcell::cgroup::{Controller, Hierarchies};
use hotcell::contract::{ContainerTask, Context, Cookie, Driver, Stat, Status};

use crate::bed::Bed;
use crate::contract::tools::{background, driver, on_runtime};
use crate::host::fixture;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(a_writer_of_stats_that_never_returns_delays_nothing, Cells, Busybox),
        test!(a_writer_of_stats_that_panics_harms_nothing, Cells, Busybox),
    ]
}

/// The memory of this host.
pub fn host_memory_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap();
    let line = text.lines().find(|line| line.starts_with("MemTotal:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// Whether this kernel counts a megabyte that a process writes straight to the disk below `dir`;
/// `None` if `dir` is not on a disk. On a v1 host it is tried in a cgroup made for it: newer kernels
/// count there only once some disk has a throttle.
pub fn kernel_counts_disk(dir: &Path) -> Option<bool> {
    let hierarchies = Hierarchies::detect().unwrap();
    let write = format!(
        "dd if=/dev/zero of={0} bs=64k count=16 oflag=direct 2>/dev/null; x=$?; rm {0}; exit $x",
        dir.join("probe").display()
    );
    let Some(mount) = hierarchies.v1.get(&Controller::Io) else {
        let ran = Command::new("sh").args(["-c", &write]).status().unwrap();
        return ran.success().then(|| hierarchies.offers(Controller::Io));
    };
    let probe = mount.join(format!("hotcell-test-probe-{}", std::process::id()));
    std::fs::create_dir(&probe).unwrap();
    let script = format!("echo 0 > {}/tasks; {write}", probe.display());
    let ran = Command::new("sh").args(["-c", &script]).status().unwrap();
    let counted =
        std::fs::read_to_string(probe.join("blkio.throttle.io_service_bytes_recursive")).unwrap();
    std::fs::remove_dir(&probe).unwrap();
    ran.success().then(|| counted.contains("Write 1048576"))
}

/// A task of an embedder's own, which does something odd with what is measured.
struct Odd {
    command: &'static str,
    panics: bool,
    calls: Arc<AtomicU64>,
    polls: Arc<AtomicU64>,
}

#[async_trait]
impl ContainerTask for Odd {
    fn command(&self) -> String {
        self.command.to_owned()
    }

    fn image(&self) -> String {
        format!("rootfs:{}", fixture("busybox").display())
    }

    async fn write_stat(&self, _: &Context, _: Stat) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if self.panics {
            // Without the hook, which prints.
            std::panic::resume_unwind(Box::new("on purpose"));
        }
        loop {
            self.polls.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn odd(command: &'static str, panics: bool) -> Odd {
    Odd { command, panics, calls: Arc::default(), polls: Arc::default() }
}

async fn start(driver: &dyn Driver, task: Arc<Odd>) -> Box<dyn Cookie> {
    let cookie = driver.create_cookie(&background(), task).await.unwrap();
    cookie.validate_image(&background()).await.unwrap();
    cookie.create_container(&background()).await.unwrap();
    cookie
}

fn a_writer_of_stats_that_never_returns_delays_nothing(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        for command in ["true", "sleep 1.3"] {
            let task = Arc::new(odd(command, false));
            let cookie = start(&driver, Arc::clone(&task) as _).await;
            let wait = cookie.run(&background()).await.unwrap();
            let start = Instant::now();
            assert_eq!(wait.wait(&background()).await.status(), Status::Success);
            let limit = if command == "true" { 2000 } else { 3300 };
            assert!(start.elapsed() < Duration::from_millis(limit), "{:?}", start.elapsed());
            assert_eq!(task.calls.load(Ordering::Relaxed), 1, "one caller at a time");
            // It has been given up: nothing of it goes on.
            let polls = task.polls.load(Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert_eq!(task.polls.load(Ordering::Relaxed), polls, "it goes on after the wait");
            let start = Instant::now();
            cookie.close(&background()).await.unwrap();
            assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
            drop(cookie);
            while Arc::strong_count(&task) > 1 {
                assert!(start.elapsed() < Duration::from_secs(5), "somebody still has the task");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        // Nobody waits: closing is what gives it up.
        let task = Arc::new(odd("sleep 60", false));
        let cookie = start(&driver, Arc::clone(&task) as _).await;
        drop(cookie.run(&background()).await.unwrap());
        tokio::time::sleep(Duration::from_millis(1200)).await;
        let start = Instant::now();
        cookie.close(&background()).await.unwrap();
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
        let polls = task.polls.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(task.polls.load(Ordering::Relaxed), polls, "it goes on after the close");
    });
}

fn a_writer_of_stats_that_panics_harms_nothing(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        for command in ["true", "sleep 1.3"] {
            let task = Arc::new(odd(command, true));
            let cookie = start(&driver, Arc::clone(&task) as _).await;
            let wait = cookie.run(&background()).await.unwrap();
            assert_eq!(wait.wait(&background()).await.status(), Status::Success);
            assert_eq!(task.calls.load(Ordering::Relaxed), 1);
            cookie.close(&background()).await.unwrap();
        }
    });
}

//! Which measurements there are, how often, how true, and when none may come any more.

use std::time::{Duration, Instant, SystemTime};

use hotcell::contract::{Config, Stat, Status, metric};
use tokio::time::sleep;

use super::Stats;
use super::writers::{host_memory_bytes, kernel_counts_disk};
use crate::bed::Bed;
use crate::contract::tools::{
    Sink, background, command, created, driver, driver_with, finished, on_runtime, shell, started,
};
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(row_62_a_busy_second_is_a_hundred_percent, Cells, Busybox),
        test!(row_62_the_limit_is_the_tasks_or_the_hosts, Cells, Busybox, Memory),
        test!(row_62_bytes_on_the_loopback_are_counted, Cells, Busybox),
        test!(row_62_the_hosts_network_is_not_the_cells, Cells, Busybox),
        test!(row_62_bytes_on_the_disk_are_counted, Cells, Busybox),
        test!(row_62_nothing_is_measured_after_a_wait, Cells, Busybox),
        test!(row_63_the_shortest_task_is_measured_once, Cells, Busybox),
        test!(a_frozen_container_uses_no_cpu, Cells, Busybox),
    ]
}

#[track_caller]
fn value(stat: &Stat, key: &str) -> u64 {
    stat.get(key).unwrap_or_else(|| panic!("no {key} in {stat:?}"))
}

/// That the samples have nine keys each, and times of their own between `start` and now.
#[track_caller]
fn assert_sound(stats: &[Stat], start: SystemTime) {
    let mut before = start;
    for stat in stats {
        assert_eq!(stat.metrics.as_ref().unwrap().len(), 9, "{stat:?}");
        assert!(stat.timestamp > before && stat.timestamp <= SystemTime::now(), "{stats:?}");
        before = stat.timestamp;
        let part = |key| value(stat, key);
        let (sum, total) =
            (part(metric::CPU_USER) + part(metric::CPU_KERNEL), part(metric::CPU_TOTAL));
        // Each was rounded down.
        assert!(total.abs_diff(sum) <= 2 + total / 50, "{stat:?}");
    }
}

fn row_62_a_busy_second_is_a_hundred_percent(bed: &Bed) {
    let (stats, out, start) = (Stats::default(), Sink::default(), SystemTime::now());
    on_runtime(async {
        let script = "(while :; do :; done) & sleep 3.5; kill $!; wait; times";
        let task = stats.on(shell(script).stdout(out.clone()));
        assert_eq!(finished(&driver(bed), task).await.status(), Status::Success);
    });
    let stats = stats.all();
    assert!((4..=5).contains(&stats.len()), "{stats:?}");
    assert_sound(&stats, start);
    let (mut used, mut before) = (0.0, start);
    for stat in &stats {
        let seconds = stat.timestamp.duration_since(before).unwrap().as_secs_f64();
        before = stat.timestamp;
        let total = value(stat, metric::CPU_TOTAL);
        // A reading may come late under load; the next one makes up for it.
        assert!(total <= 120, "one loop is one CPU: {stat:?}");
        used += seconds * total as f64 / 100.0;
    }
    // The task's own account: user and system time of what it started. On a host that is busy with
    // other things this is less than the whole.
    let text = out.text();
    let time = |word: &str| {
        let (minutes, seconds) = word.trim_end_matches('s').split_once('m').unwrap();
        minutes.parse::<f64>().unwrap() * 60.0 + seconds.parse::<f64>().unwrap()
    };
    let own: f64 = text.lines().nth(1).unwrap().split_whitespace().map(time).sum();
    assert!((used - own).abs() < 0.05 * own + 0.1, "measured {used} s, it says {own} s: {stats:?}");
    let average = 100.0 * used / before.duration_since(start).unwrap().as_secs_f64();
    assert!(average < 105.0 && (own < 3.4 || average > 85.0), "{average}: {stats:?}");
    // One second apart, but for the last.
    for pair in stats.windows(2).take(2) {
        let apart = pair[1].timestamp.duration_since(pair[0].timestamp).unwrap();
        assert!((600..1600).contains(&apart.as_millis()), "{apart:?}");
    }
}

fn row_62_the_limit_is_the_tasks_or_the_hosts(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        for (limit, expected) in [(64 << 20, 64 << 20), (0, host_memory_bytes())] {
            let stats = Stats::default();
            // Kept in /tmp, which is memory, until the end.
            let task = shell("dd if=/dev/zero of=/tmp/x bs=1M count=20 2>/dev/null").memory(limit);
            assert_eq!(finished(&driver, stats.on(task)).await.status(), Status::Success);
            let last = stats.last();
            assert_eq!(value(&last, metric::MEM_LIMIT), expected);
            assert!(value(&last, metric::MEM_USAGE) <= expected, "{last:?}");
        }
        let stats = Stats::default();
        let script = "dd if=/dev/zero of=/tmp/x bs=1M count=20 2>/dev/null; sleep 1.3";
        finished(&driver, stats.on(shell(script).memory(64 << 20))).await;
        let used = value(&stats.all()[0], metric::MEM_USAGE);
        assert!((20 << 20..=64 << 20).contains(&used), "{used}");
    });
}

/// The listener's own input stays open, so it ends when the other side has.
const OVER_LOOPBACK: &str = "sleep 20 | nc -l -p 5000 > /dev/null &
    until grep -qs ':1388 ' /proc/net/tcp /proc/net/tcp6; do usleep 10000; done
    head -c 1000000 /dev/zero | nc 127.0.0.1 5000";

fn row_62_bytes_on_the_loopback_are_counted(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        for disabled in [false, true] {
            let stats = Stats::default();
            let task = stats.on(shell(OVER_LOOPBACK).disable_net(disabled));
            assert_eq!(finished(&driver, task).await.status(), Status::Success);
            let last = stats.last();
            for key in [metric::NET_RX, metric::NET_TX] {
                assert!((1_000_000..2_000_000).contains(&value(&last, key)), "{last:?}");
            }
        }
    });
}

fn row_62_the_hosts_network_is_not_the_cells(bed: &Bed) {
    let config = Config { docker_networks: "host".to_owned(), ..Config::default() };
    on_runtime(async {
        let stats = Stats::default();
        let script = "grep -q lo: /proc/net/dev && sleep 1.3";
        let result = finished(&driver_with(bed, config), stats.on(shell(script))).await;
        assert_eq!(result.status(), Status::Success);
        assert_eq!(stats.all().len(), 2);
        for stat in stats.all() {
            assert_eq!((value(&stat, metric::NET_RX), value(&stat, metric::NET_TX)), (0, 0));
        }
    });
}

/// Only what goes to the disk straight from the program can be expected: what the kernel writes
/// back later is not counted for anybody on a v1 host, and on a new one nothing is, as long as no
/// disk has a throttle.
fn row_62_bytes_on_the_disk_are_counted(bed: &Bed) {
    let dir = bed.path("volume");
    std::fs::create_dir(&dir).unwrap();
    let all = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(&dir, all).unwrap();
    let Some(counts) = kernel_counts_disk(&dir) else {
        return;
    };
    on_runtime(async {
        let stats = Stats::default();
        let script = "dd if=/dev/zero of=/v/x bs=64k count=16 oflag=direct 2>/dev/null &&
            dd if=/v/x of=/dev/null bs=64k iflag=direct 2>/dev/null";
        let task = shell(script).volume(dir.to_str().unwrap(), "/v");
        let result = finished(&driver(bed), stats.on(task)).await;
        assert_eq!(result.status(), Status::Success, "{result:?}");
        let last = stats.last();
        for key in [metric::DISK_READ, metric::DISK_WRITE] {
            let expected = if counts { 1 << 20..2 << 20 } else { 0..1 };
            assert!(expected.contains(&value(&last, key)), "{key}: {last:?}");
        }
    });
}

fn row_62_nothing_is_measured_after_a_wait(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let stats = Stats::default();
        let (cookie, wait) = started(&driver, stats.on(command("sleep 60"))).await;
        let soon = background().with_timeout(Duration::from_millis(1500));
        assert_eq!(wait.wait(&soon).await.status(), Status::Timeout);
        assert_eq!(stats.all().len(), 1);
        sleep(Duration::from_millis(1500)).await;
        assert_eq!(stats.all().len(), 1, "the wait was over");
        cookie.close(&background()).await.unwrap();
        assert_eq!(wait.wait(&background()).await.status(), Status::Killed);
        assert_eq!(stats.all().len(), 1, "not even a last one");
        // Without a wait, the end is measured on the way out.
        let stats = Stats::default();
        let cookie = created(&driver, stats.on(command("sleep 60"))).await;
        drop(cookie.run(&background()).await.unwrap());
        cookie.close(&background()).await.unwrap();
        assert_eq!(stats.all().len(), 1);
        sleep(Duration::from_millis(1200)).await;
        assert_eq!(stats.all().len(), 1);
    });
}

fn row_63_the_shortest_task_is_measured_once(bed: &Bed) {
    let cpus = std::thread::available_parallelism().unwrap().get() as u64;
    on_runtime(async {
        let driver = driver(bed);
        for _ in 0..30 {
            let (stats, start) = (Stats::default(), SystemTime::now());
            assert_eq!(
                finished(&driver, stats.on(command("true"))).await.status(),
                Status::Success
            );
            let stats = stats.all();
            assert_eq!(stats.len(), 1, "{stats:?}");
            assert_sound(&stats, start);
            let total = value(&stats[0], metric::CPU_TOTAL);
            assert!(total <= cpus * 105, "more than the host has: {stats:?}");
        }
    });
}

fn a_frozen_container_uses_no_cpu(bed: &Bed) {
    on_runtime(async {
        let driver = driver(bed);
        let stats = Stats::default();
        let (cookie, wait) = started(&driver, stats.on(shell("while :; do :; done"))).await;
        let measured = async |count: usize| {
            let start = Instant::now();
            while stats.all().len() < count {
                assert!(start.elapsed() < Duration::from_secs(20), "{:?}", stats.all());
                sleep(Duration::from_millis(5)).await;
            }
        };
        measured(1).await;
        cookie.freeze(&background()).await.unwrap();
        // The first may cover some time before the freeze.
        let before = stats.all().len();
        measured(before + 2).await;
        let frozen = stats.all()[before + 1].clone();
        let cpu = [metric::CPU_TOTAL, metric::CPU_USER, metric::CPU_KERNEL];
        assert!(cpu.iter().all(|key| value(&frozen, key) == 0), "{frozen:?}");
        assert!(value(&frozen, metric::MEM_USAGE) > 0);
        cookie.unfreeze(&background()).await.unwrap();
        let before = stats.all().len();
        measured(before + 1).await;
        assert!(value(&stats.last(), metric::CPU_TOTAL) > 0, "{:?}", stats.all());
        cookie.close(&background()).await.unwrap();
        assert_eq!(wait.wait(&background()).await.status(), Status::Killed);
    });
}

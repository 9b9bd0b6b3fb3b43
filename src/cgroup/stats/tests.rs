//! The numbers of fixture directories, in runc's words.

use serde_json::{Value, json};

use super::super::old::{Joined, Part};
use super::*;

struct Fixture(tempfile::TempDir);

impl Fixture {
    fn new(files: &[(&str, &str)]) -> Fixture {
        let fixture = Fixture(tempfile::tempdir().unwrap());
        for (path, text) in files {
            let path = fixture.0.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        fixture
    }

    fn dir(&self, name: &str) -> Dir {
        Dir::open(&self.0.path().join(name)).unwrap()
    }

    fn stats(&self, v1: &[&str]) -> Value {
        let joined = |name: &&str| Joined {
            hierarchy: (*name).to_owned(),
            view: (*name).to_owned(),
            dir: self.dir(name),
        };
        let everywhere = v1.iter().map(joined).collect();
        let cgroup = Cgroup::new(self.dir(""), Part { everywhere, ..Part::default() });
        serde_json::to_value(cgroup.stats().unwrap()).unwrap()
    }
}

#[test]
fn a_v2_directory_is_told_in_the_words_of_v1() {
    let stats = Fixture::new(&[
        ("cpu.stat", "usage_usec 7\nuser_usec 4\nsystem_usec 3\nnr_throttled 2\nthrottled_usec 5\n"),
        ("cpu.pressure", "some avg10=1.50 avg60=0.00 avg300=0.00 total=12\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"),
        ("memory.stat", "anon 1\nfile 4096\n"),
        ("memory.current", "8192\n"),
        ("memory.max", "16384\n"),
        ("memory.swap.current", "10\n"),
        ("memory.swap.max", "max\n"),
        ("pids.current", "3\n"),
        ("pids.max", "max\n"),
        ("io.stat", "8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0\n"),
    ])
    .stats(&[]);
    assert_eq!(stats["cpu"]["usage"], json!({"total": 7000, "kernel": 3000, "user": 4000}));
    assert_eq!(stats["cpu"]["throttling"], json!({"throttledPeriods": 2, "throttledTime": 5000}));
    assert_eq!(stats["cpu"]["psi"]["some"]["avg10"], json!(1.5));
    assert_eq!(stats["memory"]["cache"], 4096);
    assert_eq!(stats["memory"]["usage"], json!({"limit": 16384, "usage": 8192, "failcnt": 0}));
    assert_eq!(stats["memory"]["swap"], json!({"limit": u64::MAX, "usage": 8202, "failcnt": 0}));
    assert_eq!(stats["memory"]["raw"], json!({"anon": 1, "file": 4096}));
    assert_eq!(stats["pids"], json!({"current": 3}));
    let bytes = json!([
        {"major": 8, "op": "Read", "value": 10},
        {"major": 8, "op": "Write", "value": 20}
    ]);
    assert_eq!(stats["blkio"]["ioServiceBytesRecursive"], bytes);
    assert_eq!((&stats["hugetlb"], &stats["intel_rdt"]), (&json!({}), &json!({})));
    assert_eq!(stats["network_interfaces"], Value::Null);
}

#[test]
fn v1_hierarchies_are_read_each_in_its_place() {
    let stats = Fixture::new(&[
        ("cpu,cpuacct/cpuacct.usage", "900\n"),
        ("cpu,cpuacct/cpuacct.stat", "user 2\nsystem 1\n"),
        ("cpu,cpuacct/cpuacct.usage_percpu", "400 500 \n"),
        ("cpu,cpuacct/cpuacct.usage_all", "cpu user system\n0 300 100\n1 400 100\n"),
        ("cpu,cpuacct/cpu.stat", "nr_periods 4\nnr_throttled 1\nthrottled_time 77\n"),
        ("cpuset/cpuset.cpus", "0-1,3\n"),
        ("cpuset/cpuset.mems", "0\n"),
        ("cpuset/cpuset.sched_load_balance", "1\n"),
        ("cpuset/cpuset.sched_relax_domain_level", "-1\n"),
        ("memory/memory.stat", "cache 4096\n"),
        ("memory/memory.usage_in_bytes", "5\n"),
        ("memory/memory.max_usage_in_bytes", "6\n"),
        ("memory/memory.limit_in_bytes", "9\n"),
        ("memory/memory.failcnt", "1\n"),
        ("blkio/blkio.bfq.io_serviced_recursive", "Total 0\n"),
        ("blkio/blkio.throttle.io_serviced_recursive", "8:0 Read 2\nTotal 2\n"),
        ("blkio/blkio.throttle.io_service_bytes_recursive", "8:0 Read 8\nTotal 8\n"),
        ("pids/pids.current", "2\n"),
        ("pids/pids.max", "32\n"),
    ])
    .stats(&["cpu,cpuacct", "cpuset", "memory", "blkio", "pids"]);
    let usage = json!({
        "total": 900, "percpu": [400, 500], "percpu_user": [300, 400],
        "percpu_kernel": [100, 100], "kernel": 10_000_000, "user": 20_000_000,
    });
    assert_eq!(stats["cpu"]["usage"], usage);
    assert_eq!(stats["cpu"]["throttling"]["throttledTime"], 77);
    assert_eq!(stats["cpuset"]["cpus"], json!([0, 1, 3]));
    assert_eq!(stats["cpuset"]["sched_relax_domain_level"], -1);
    let memory = json!({"limit": 9, "usage": 5, "max": 6, "failcnt": 1});
    assert_eq!((&stats["memory"]["usage"], &stats["memory"]["cache"]), (&memory, &json!(4096)));
    let bytes = json!([{"major": 8, "op": "Read", "value": 8}]);
    assert_eq!(stats["blkio"]["ioServiceBytesRecursive"], bytes);
    assert_eq!(stats["pids"], json!({"current": 2, "limit": 32}));
}

#[test]
fn what_is_written_can_be_read_again() {
    let fixture = Fixture::new(&[("cpu.stat", "usage_usec 7\n"), ("pids.current", "3\n")]);
    let stats = fixture.stats(&[]);
    let read: Stats = serde_json::from_value(stats.clone()).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), stats);
}

#[test]
fn sizes_of_pages_are_named_as_the_kernel_names_its_files() {
    let names = ["hugepages-64kB", "hugepages-2048kB", "hugepages-1048576kB", "other"];
    let sizes: Vec<_> = names.into_iter().filter_map(page_size).collect();
    assert_eq!(sizes, ["64KB", "2MB", "1GB"]);
}

//! Resources as they stand in the files of fixture directories, on either kind of host.

use super::super::old::{Joined, Part};
use super::*;

/// A cgroup in plain directories; the files that a kernel would have are there, and empty or zero.
struct Fixture(tempfile::TempDir);

const V2: [(&str, &str); 16] = [
    ("cgroup.controllers", "cpuset cpu io memory hugetlb pids\n"),
    ("memory.max", "max\n"),
    ("memory.low", "0\n"),
    ("memory.swap.max", "max\n"),
    ("memory.current", "4096\n"),
    ("cpu.max", "max 100000\n"),
    ("cpu.max.burst", "0\n"),
    ("cpu.weight", "100\n"),
    ("cpu.idle", "0\n"),
    ("cpuset.cpus", ""),
    ("cpuset.mems", ""),
    ("pids.max", "max\n"),
    ("io.max", ""),
    ("io.weight", "default 100\n"),
    ("hugetlb.2MB.max", "max\n"),
    ("hugetlb.2MB.rsvd.max", "max\n"),
];

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

    fn cgroup(&self, v1: &[&str]) -> Cgroup {
        let open = |name: &str| Dir::open(&self.0.path().join(name)).unwrap();
        let joined = |name: &&str| Joined {
            hierarchy: (*name).to_owned(),
            view: (*name).to_owned(),
            dir: open(name),
        };
        let everywhere = v1.iter().map(joined).collect();
        Cgroup::new(open(""), Part { everywhere, ..Part::default() })
    }

    /// What is written, in its order: `file=value`.
    fn writes(&self, v1: &[&str], json: &str) -> Result<Vec<String>, Error> {
        let resources = serde_json::from_str(json).unwrap();
        check(&resources)?;
        let written = apply(&self.cgroup(v1), &resources)?;
        Ok(written.iter().map(|limit| format!("{}={}", limit.file, limit.value)).collect())
    }

    fn refuses(&self, v1: &[&str], json: &str) -> String {
        self.writes(v1, json).unwrap_err().to_string()
    }
}

fn v2(json: &str) -> Vec<String> {
    Fixture::new(&V2).writes(&[], json).unwrap()
}

#[test]
fn v2_counts_swap_beside_memory() {
    let limits = r#"{"memory":{"limit":100,"swap":300,"reservation":-1}}"#;
    assert_eq!(v2(limits), ["memory.swap.max=200", "memory.max=100", "memory.low=max"]);
    assert_eq!(
        v2(r#"{"memory":{"limit":100,"swap":100}}"#),
        ["memory.swap.max=0", "memory.max=100"]
    );
    assert_eq!(v2(r#"{"memory":{"limit":-1}}"#), ["memory.swap.max=max", "memory.max=max"]);
    assert_eq!(
        v2(r#"{"memory":{"limit":-1,"swap":300}}"#),
        ["memory.swap.max=300", "memory.max=max"]
    );
    let alone = Fixture::new(&V2).refuses(&[], r#"{"memory":{"swap":300}}"#);
    assert!(alone.contains("memory.swap: 300: given without memory.limit"), "{alone}");
}

#[test]
fn on_v2_an_update_of_memory_alone_keeps_both_together() {
    let files = [&V2[..], &[("memory.max", "100\n"), ("memory.swap.max", "200\n")]].concat();
    let update = |json| Fixture::new(&files).writes(&[], json).unwrap();
    assert_eq!(update(r#"{"memory":{"limit":250}}"#), ["memory.swap.max=50", "memory.max=250"]);
    assert_eq!(update(r#"{"memory":{"swap":150}}"#), ["memory.swap.max=50"]);
    assert_eq!(update(r#"{"memory":{"limit":-1}}"#), ["memory.swap.max=max", "memory.max=max"]);
}

#[test]
fn a_check_before_an_update_refuses_less_than_is_used() {
    let json = r#"{"memory":{"limit":4096,"checkBeforeUpdate":true}}"#;
    assert!(Fixture::new(&V2).refuses(&[], json).contains("uses 4096 bytes"));
    assert_eq!(v2(&json.replace("4096", "4097")).len(), 1);
}

#[test]
fn what_v2_does_not_have_and_what_limits_nothing() {
    assert_eq!(v2(r#"{"memory":{"swappiness":5,"disableOOMKiller":true,"kernel":7}}"#), [""; 0]);
    for json in [
        r#"{"cpu":{"realtimeRuntime":5}}"#,
        r#"{"network":{"classID":5}}"#,
        r#"{"network":{"priorities":[{"name":"lo","priority":1}]}}"#,
        r#"{"blockIO":{"leafWeight":10}}"#,
        r#"{"rdma":{"a":{"hcaHandles":1}}}"#,
    ] {
        Fixture::new(&V2).refuses(&[], json);
    }
}

#[test]
fn cpu_values_that_are_left_out_stay_on_v2() {
    assert_eq!(v2(r#"{"cpu":{"quota":50000}}"#), ["cpu.max=50000 100000"]);
    assert_eq!(v2(r#"{"cpu":{"quota":-1,"period":5000}}"#), ["cpu.max=max 5000"]);
    let files = [&V2[..], &[("cpu.max", "2000 10000\n")]].concat();
    let update = |json| Fixture::new(&files).writes(&[], json).unwrap();
    assert_eq!(update(r#"{"cpu":{"period":50000}}"#), ["cpu.max=2000 50000"]);
    assert_eq!(
        update(r#"{"cpu":{"quota":9,"burst":4,"shares":1024,"idle":0}}"#),
        ["cpu.idle=0", "cpu.weight=100", "cpu.max.burst=4", "cpu.max=9 10000"]
    );
    assert_eq!(v2(r#"{"cpu":{"cpus":"0-1","mems":"0"}}"#), ["cpuset.cpus=0-1", "cpuset.mems=0"]);
}

#[test]
fn block_io_has_one_file_for_all_throttles_on_v2() {
    let json = r#"{"blockIO":{"weight":500,
        "weightDevice":[{"major":8,"minor":0,"weight":1000}],
        "throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1024}],
        "throttleWriteIOPSDevice":[{"major":8,"minor":0,"rate":0}]}}"#;
    let rates = ["io.max=8:0 rbps=1024", "io.max=8:0 wiops=max"];
    assert_eq!(v2(json), [&["io.weight=4950", "io.weight=8:0 10000"], &rates[..]].concat());
    let files = [&V2[..], &[("io.bfq.weight", "default 100\n")]].concat();
    let bfq = |json: &str| Fixture::new(&files).writes(&[], json).unwrap();
    assert_eq!(bfq(r#"{"blockIO":{"weight":500}}"#), ["io.bfq.weight=500"]);
    let device = r#"{"blockIO":{"weightDevice":[{"major":8,"minor":0,"weight":1000}]}}"#;
    assert_eq!(bfq(device), ["io.bfq.weight=8:0 1000"]);
}

#[test]
fn files_of_v2_are_written_by_name_a_line_at_a_time() {
    let json = r#"{"unified":{"memory.low":"7","io.max":"8:0 rbps=1\n8:16 rbps=2"}}"#;
    assert_eq!(v2(json), ["io.max=8:0 rbps=1", "io.max=8:16 rbps=2", "memory.low=7"]);
    for (file, part) in [
        ("memory.none", "no such file"),
        ("rdma.max", "\"rdma\" is neither"),
        ("a/b.c", "that of a file"),
        ("nodot", "CONTROLLER.NAME"),
        ("cgroup.procs", "limits nothing"),
    ] {
        let error = Fixture::new(&V2).refuses(&[], &format!(r#"{{"unified":{{"{file}":"1"}}}}"#));
        assert!(error.contains(part) && error.contains(file), "{error}");
    }
}

#[test]
fn a_reservation_of_huge_pages_is_limited_with_their_use() {
    let json = r#"{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}"#;
    assert_eq!(v2(json), ["hugetlb.2MB.max=4194304", "hugetlb.2MB.rsvd.max=4194304"]);
    let v1 = [("hugetlb/hugetlb.2MB.limit_in_bytes", ""), ("cgroup.controllers", "")];
    let written = Fixture::new(&v1).writes(&["hugetlb"], json).unwrap();
    assert_eq!(written, ["hugetlb.2MB.limit_in_bytes=4194304"]);
}

#[test]
fn on_v1_a_limit_is_raised_from_above_and_lowered_from_below() {
    let with = |limit| {
        [
            ("memory/memory.limit_in_bytes", limit),
            ("memory/memory.memsw.limit_in_bytes", "300\n"),
            ("cgroup.controllers", ""),
        ]
    };
    let json = r#"{"memory":{"limit":100,"swap":200}}"#;
    let (limit, both) = ("memory.limit_in_bytes=100", "memory.memsw.limit_in_bytes=200");
    assert_eq!(Fixture::new(&with("50\n")).writes(&["memory"], json).unwrap(), [both, limit]);
    assert_eq!(Fixture::new(&with("300\n")).writes(&["memory"], json).unwrap(), [limit, both]);
    let none = Fixture::new(&with("300\n")).writes(&["memory"], r#"{"memory":{"limit":-1}}"#);
    let order = ["memory.memsw.limit_in_bytes=-1", "memory.limit_in_bytes=-1"];
    assert_eq!(none.unwrap(), order);
}

#[test]
fn packets_are_marked_where_v1_can() {
    let files = [
        ("net_cls,net_prio/net_cls.classid", ""),
        ("net_cls,net_prio/net_prio.ifpriomap", ""),
        ("cgroup.controllers", ""),
    ];
    let json = r#"{"network":{"classID":1048577,"priorities":[{"name":"lo","priority":3}]}}"#;
    assert_eq!(
        Fixture::new(&files).writes(&["net_cls,net_prio"], json).unwrap(),
        ["net_cls.classid=1048577", "net_prio.ifpriomap=lo 3"]
    );
}

#[test]
fn a_limit_without_its_controller_is_refused_with_its_field() {
    let bare = [("cgroup.controllers", "")];
    for (json, field) in [
        (r#"{"memory":{"limit":1}}"#, "memory.limit=1"),
        (r#"{"cpu":{"shares":2}}"#, "cpu.shares=2"),
        (r#"{"cpu":{"cpus":"0"}}"#, "cpu.cpus=0"),
        (r#"{"pids":{"limit":1}}"#, "pids.limit=1"),
        (r#"{"blockIO":{"weight":10}}"#, "blockIO.weight=10"),
        (r#"{"hugepageLimits":[{"pageSize":"2MB","limit":1}]}"#, "hugepageLimits=2MB=1"),
    ] {
        let error = Fixture::new(&bare).refuses(&[], json);
        assert!(error.contains(&format!("linux.resources.{field} needs")), "{error}");
    }
}

//! Resource documents that hotcell and runc are given alike.

/// A name, what a container is created with, and what it is updated with then.
pub type Document = (&'static str, &'static str, &'static [&'static str]);

pub const DOCUMENTS: &[Document] = &[
    ("nothing", "{}", &[]),
    ("docker", DOCKER, &[DOCKER_UPDATE]),
    ("zeros", ZEROS, &[ZEROS]),
    ("memory", r#"{"memory":{"limit":67108864}}"#, &[r#"{"memory":{"limit":33554432}}"#]),
    (
        "swap",
        r#"{"memory":{"limit":67108864,"swap":134217728,"reservation":33554432}}"#,
        &[
            r#"{"memory":{"limit":268435456,"swap":536870912}}"#,
            r#"{"memory":{"limit":16777216,"swap":16777216}}"#,
            r#"{"memory":{"swap":-1}}"#,
            r#"{"memory":{"limit":-1}}"#,
        ],
    ),
    ("unlimited memory", r#"{"memory":{"limit":-1,"swap":-1,"reservation":-1}}"#, &[]),
    ("swap below memory", r#"{"memory":{"limit":67108864,"swap":33554432}}"#, &[]),
    ("swap without memory", r#"{"memory":{"swap":33554432}}"#, &[]),
    (
        "kernel memory",
        r#"{"memory":{"limit":67108864,"kernel":33554432,"kernelTCP":33554432}}"#,
        &[],
    ),
    ("swappiness", r#"{"memory":{"swappiness":13}}"#, &[]),
    ("no swappiness", r#"{"memory":{"swappiness":18446744073709551615}}"#, &[]),
    ("too much swappiness", r#"{"memory":{"swappiness":101}}"#, &[]),
    ("no killer", r#"{"memory":{"limit":67108864,"disableOOMKiller":true}}"#, &[]),
    ("killer", r#"{"memory":{"limit":67108864,"disableOOMKiller":false}}"#, &[]),
    ("checked", r#"{"memory":{"limit":67108864,"checkBeforeUpdate":true}}"#, &[]),
    ("shares", r#"{"cpu":{"shares":512}}"#, &[r#"{"cpu":{"shares":2048}}"#]),
    ("fewest shares", r#"{"cpu":{"shares":2}}"#, &[]),
    ("most shares", r#"{"cpu":{"shares":262144}}"#, &[]),
    ("too many shares", r#"{"cpu":{"shares":262145}}"#, &[]),
    (
        "quota",
        r#"{"cpu":{"quota":50000,"period":100000}}"#,
        &[
            r#"{"cpu":{"quota":20000}}"#,
            r#"{"cpu":{"period":50000}}"#,
            r#"{"cpu":{"quota":-1}}"#,
            r#"{"cpu":{"quota":5000,"period":10000}}"#,
        ],
    ),
    ("quota alone", r#"{"cpu":{"quota":50000}}"#, &[]),
    ("period alone", r#"{"cpu":{"period":50000}}"#, &[]),
    ("tiny quota", r#"{"cpu":{"quota":1}}"#, &[]),
    ("no quota", r#"{"cpu":{"quota":-1,"period":50000}}"#, &[]),
    ("cpuset", r#"{"cpu":{"cpus":"0","mems":"0"}}"#, &[r#"{"cpu":{"cpus":"0-1"}}"#]),
    ("cpus alone", r#"{"cpu":{"cpus":"1"}}"#, &[]),
    ("cpus that are not there", r#"{"cpu":{"cpus":"4000"}}"#, &[]),
    ("cpus that are none", r#"{"cpu":{"cpus":"some"}}"#, &[]),
    ("pids", r#"{"pids":{"limit":20}}"#, &[r#"{"pids":{"limit":30}}"#, r#"{"pids":{"limit":-1}}"#]),
    ("unlimited pids", r#"{"pids":{"limit":-1}}"#, &[]),
    ("no devices", r#"{"devices":[{"allow":false,"access":"rwm"}]}"#, &[]),
    (
        "devices",
        r#"{"devices":[{"allow":false,"access":"rwm"},
            {"allow":true,"type":"c","major":10,"minor":229,"access":"rwm"},
            {"allow":true,"type":"b","major":8,"access":"r"},
            {"allow":true,"type":"c","major":4,"minor":-1,"access":"rw"}]}"#,
        &[],
    ),
    ("all devices", r#"{"devices":[{"allow":true,"access":"rwm"}]}"#, &[]),
    (
        "throttles of no device",
        r#"{"blockIO":{"throttleReadBpsDevice":[{"major":250,"minor":250,"rate":1048576}]}}"#,
        &[],
    ),
    ("empty lists", r#"{"blockIO":{"weightDevice":[],"throttleReadBpsDevice":[]}}"#, &[]),
    ("no pages of that size", r#"{"hugepageLimits":[{"pageSize":"3MB","limit":1}]}"#, &[]),
];

/// What dockerd writes for `-m 64m --cpus 0.5 --pids-limit 20`.
const DOCKER: &str = r#"{
    "devices": [
        {"allow": false, "access": "rwm"},
        {"allow": true, "type": "c", "major": 1, "minor": 5, "access": "rwm"},
        {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"},
        {"allow": true, "type": "c", "major": 1, "minor": 9, "access": "rwm"},
        {"allow": true, "type": "c", "major": 1, "minor": 8, "access": "rwm"},
        {"allow": true, "type": "c", "major": 5, "minor": 0, "access": "rwm"},
        {"allow": true, "type": "c", "major": 5, "minor": 1, "access": "rwm"},
        {"allow": false, "type": "c", "major": 10, "minor": 229, "access": "rwm"}],
    "memory": {"limit": 67108864, "swap": 134217728, "disableOOMKiller": false},
    "cpu": {"shares": 0, "quota": 50000, "period": 100000},
    "pids": {"limit": 20},
    "blockIO": {"weight": 0}}"#;

const DOCKER_UPDATE: &str = r#"{
    "memory": {"limit": 134217728, "swap": 268435456, "reservation": 0, "kernel": 0},
    "cpu": {"shares": 0, "quota": 0, "period": 0, "cpus": "", "mems": ""},
    "blockIO": {"weight": 0}, "pids": {"limit": 20}}"#;

const ZEROS: &str = r#"{
    "memory": {"limit": 0, "reservation": 0, "swap": 0, "kernel": 0, "kernelTCP": 0},
    "cpu": {"shares": 0, "quota": 0, "period": 0, "realtimeRuntime": 0, "realtimePeriod": 0,
            "cpus": "", "mems": ""},
    "blockIO": {"weight": 0}, "pids": {"limit": 0}}"#;

//! The same tries in the container that Docker makes: its bundle of 2026, run by runc.

use std::path::Path;

use serde_json::{Value, json};

use super::order::{Reach, reach};
use super::table::{Call, Table, calls, without_host};
use crate::bed::Bed;
use crate::peers::Peer;

/// A container of Docker's.
#[derive(Debug)]
pub struct Setup {
    name: &'static str,
    uid: u32,
    capabilities: &'static [&'static str],
    no_new_privileges: bool,
    confined: bool,
}

const FOURTEEN: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// `docker run`.
pub const DEFAULT: Setup = Setup {
    name: "docker",
    uid: 0,
    capabilities: &FOURTEEN,
    no_new_privileges: false,
    confined: true,
};

/// What fn asks of Docker: another user, no capability, no new privileges.
pub const FN: Setup = Setup {
    name: "docker-fn",
    uid: 1000,
    capabilities: &[],
    no_new_privileges: true,
    confined: true,
};

/// No filter, no mask, and enough capabilities to get out; not those that reach the host's clock,
/// modules or power.
pub const UNCONFINED: Setup = Setup {
    name: "unconfined",
    uid: 0,
    capabilities: &[
        "CAP_SYS_ADMIN",
        "CAP_SYS_PTRACE",
        "CAP_BPF",
        "CAP_PERFMON",
        "CAP_MKNOD",
        "CAP_SYS_CHROOT",
        "CAP_SETUID",
        "CAP_SETGID",
        "CAP_DAC_OVERRIDE",
        "CAP_KILL",
        "CAP_CHOWN",
    ],
    no_new_privileges: false,
    confined: false,
};

/// What the probe finds in the container.
pub fn container(bed: &Bed, setup: &Setup) -> Table {
    let rootfs = super::rootfs(bed, &format!("root-{}", setup.name));
    let ran = Peer::Runc.run(bed, setup.name, bundle(&rootfs, setup));
    assert!(ran.code == Some(0), "{ran:?}");
    let table = without_host(&Table::parse(&ran.out), "probe");
    if setup.confined { with_newest_names(&table, &calls()) } else { table }
}

/// Every libseccomp in use knows the calls up to this one by name, but for uretprobe.
const OLD: u32 = 450;

/// An old libseccomp doesn't know the newest calls by name, and runc leaves those out of the filter:
/// the profile's own word counts.
fn with_newest_names(table: &Table, calls: &[Call]) -> Table {
    let new = |name: &str| {
        let this = |call: &&Call| {
            call.name == name || call.number.is_some_and(|number| number.to_string() == name)
        };
        let call = calls.iter().find(this).filter(|call| call.docker == "allow");
        let new = |number: &u32| *number > OLD || *number == 335;
        call.and_then(|call| call.number).filter(new)
    };
    let lines = table.lines.iter().map(|(key, value)| {
        let (section, name) = key.split_once(' ').unwrap();
        let allowed = match section {
            "syscall" => "reached",
            // Tried with null pointers.
            "mount-call" => "EFAULT",
            _ => value,
        };
        let old = reach(value) == Reach::Refused && new(name).is_some_and(super::golden::exists);
        (key.clone(), if old { allowed.to_owned() } else { value.clone() })
    });
    Table::new(lines)
}

/// Docker's `config.json`.
fn bundle(rootfs: &Path, setup: &Setup) -> Value {
    let env = [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
        "HOSTNAME=probe".to_owned(),
        format!("HOST_NAMESPACES={}", super::host_namespaces()),
        format!("HOME={}", if setup.uid == 0 { "/root" } else { "/" }),
    ];
    // Docker gives another user than root the bounding set alone.
    let own = if setup.uid == 0 { setup.capabilities } else { &[] };
    let mount = |target: &str, kind: &str, options: &str| {
        let options: Vec<_> = options.split(' ').collect();
        json!({"destination": target, "type": kind, "source": kind, "options": options})
    };
    let allow = |kind: &str, major: Option<i64>, minor: Option<i64>, access: &str| {
        let mut rule = json!({"allow": true, "type": kind, "access": access});
        for (name, number) in [("major", major), ("minor", minor)] {
            if let Some(number) = number {
                rule[name] = json!(number);
            }
        }
        rule
    };
    let mut devices = vec![
        json!({"allow": false, "access": "rwm"}),
        allow("c", None, None, "m"),
        allow("b", None, None, "m"),
        allow("c", Some(136), None, "rwm"),
    ];
    let open = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2), (10, 200)];
    devices.extend(open.map(|(major, minor)| allow("c", Some(major), Some(minor), "rwm")));
    let namespaces = ["mount", "network", "uts", "pid", "ipc", "cgroup"];
    let mut config = json!({
        "ociVersion": "1.0.2",
        "hostname": "probe",
        "root": {"path": rootfs, "readonly": false},
        "process": {
            "terminal": false,
            "user": {"uid": setup.uid, "gid": setup.uid, "additionalGids": [setup.uid]},
            "args": ["/bin/probe", "all"],
            "env": env,
            "cwd": "/",
            "noNewPrivileges": setup.no_new_privileges,
            "oomScoreAdj": 0,
            "capabilities": {
                "bounding": setup.capabilities, "effective": own, "permitted": own,
            },
        },
        "mounts": [
            mount("/proc", "proc", "nosuid noexec nodev"),
            mount("/dev", "tmpfs", "nosuid strictatime mode=755 size=65536k"),
            mount("/dev/pts", "devpts", "nosuid noexec newinstance ptmxmode=0666 mode=0620 gid=5"),
            mount("/sys", "sysfs", "nosuid noexec nodev ro"),
            mount("/sys/fs/cgroup", "cgroup", "ro nosuid noexec nodev"),
            mount("/dev/mqueue", "mqueue", "nosuid noexec nodev"),
            mount("/dev/shm", "tmpfs", "nosuid noexec nodev mode=1777 size=65536k"),
        ],
        "linux": {
            "namespaces": namespaces.map(|kind| json!({"type": kind})),
            "resources": {"devices": devices},
            // Docker lets everybody bind low ports and ping.
            "sysctl": {
                "net.ipv4.ip_unprivileged_port_start": "0",
                "net.ipv4.ping_group_range": "0 2147483647",
            },
        },
    });
    if setup.confined {
        config["linux"]["seccomp"] = profile(setup);
        config["linux"]["maskedPaths"] = json!(masked());
        config["linux"]["readonlyPaths"] =
            json!(["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]);
    }
    config
}

/// Docker's, the throttling counters of each CPU among them.
fn masked() -> Vec<String> {
    let fixed = [
        "/proc/acpi",
        "/proc/asound",
        "/proc/interrupts",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/sched_debug",
        "/proc/scsi",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/sys/devices/virtual/powercap",
        "/sys/firmware",
    ];
    let cpus = (0..).map(|cpu| format!("/sys/devices/system/cpu/cpu{cpu}/thermal_throttle"));
    let cpus = cpus.take_while(|path| Path::new(path).exists());
    fixed.map(str::to_owned).into_iter().chain(cpus).collect()
}

/// Docker's default profile of 2026 for x86-64, the names from `x86_64.txt`.
fn profile(setup: &Setup) -> Value {
    // Every family but the dead ones (12, 19, 20, 23, 25, 34, 37), AF_ALG (38) and AF_VSOCK (40).
    const FAMILIES: [u64; 25] = [
        13, 14, 15, 16, 17, 18, 21, 22, 24, 26, 27, 28, 29, 30, 31, 32, 33, 35, 36, 39, 41, 42, 43,
        44, 45,
    ];
    const PERSONALITIES: [u64; 5] = [0, 8, 0x20000, 0x20008, 0xffff_ffff];
    const NEW_NAMESPACES: u64 = 0x7e02_0000;
    let has = |capability: &str| setup.capabilities.contains(&format!("CAP_{capability}").as_str());
    let calls = calls();
    let allowed = calls.iter().filter(|call| call.docker == "allow" || has(call.docker));
    let names: Vec<_> = allowed.map(|call| call.name).collect();
    let rule = |name: &str, op: &str, value: u64| {
        let argument = json!({"index": 0, "op": op, "value": value});
        json!({"names": [name], "action": "SCMP_ACT_ALLOW", "args": [argument]})
    };
    let mut rules = vec![
        json!({"names": names, "action": "SCMP_ACT_ALLOW"}),
        json!({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}),
        rule("clone", "SCMP_CMP_MASKED_EQ", NEW_NAMESPACES),
        rule("socket", "SCMP_CMP_LT", 12),
    ];
    rules.extend(FAMILIES.map(|family| rule("socket", "SCMP_CMP_EQ", family)));
    rules.extend(PERSONALITIES.map(|value| rule("personality", "SCMP_CMP_EQ", value)));
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": rules,
    })
}

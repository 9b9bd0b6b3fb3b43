//! What must hold in every cell, said rule by rule.

use super::order::{Reach, reach};
use super::table::Table;

/// Who runs in the cell.
#[derive(Debug)]
pub struct Who {
    pub uid: &'static str,
    /// Effective, permitted and bounding set.
    pub capabilities: [&'static str; 3],
}

const DOCKERS: &str = "CHOWN,DAC_OVERRIDE,FOWNER,FSETID,KILL,SETGID,SETUID,SETPCAP,\
                       NET_BIND_SERVICE,NET_RAW,SYS_CHROOT,MKNOD,AUDIT_WRITE,SETFCAP";

/// Root, as the program's default has it.
pub const ROOT: Who = Who { uid: "0,0,0,0", capabilities: [DOCKERS; 3] };

/// fn's user.
pub const FN: Who = Who { uid: "1000,1000,1000,1000", capabilities: ["none"; 3] };

/// Where a cell may write, and nowhere else.
const WRITABLE: [&str; 5] = ["/", "/tmp", "/dev", "/dev/shm", "/dev/mqueue"];

/// The devices that may be opened: they hold nothing of the host's.
const DEVICES: [&str; 11] =
    ["1:3", "1:5", "1:7", "1:8", "1:9", "5:0", "5:2", "136:0", "136:1", "136:2", "136:3"];

/// What has to look empty where it exists at all.
const HIDDEN: [&str; 17] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/dynamic_debug",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/system/cpu/cpu0/thermal_throttle",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/kernel/debug",
    "/sys/kernel/tracing",
    "/sys/fs/bpf",
];

/// Each rule that a table breaks, with the line that breaks it.
pub fn broken(table: &Table, who: &Who) -> Vec<String> {
    let mut broken = Vec::new();
    let sets = ["effective", "permitted", "bounding"].into_iter().zip(who.capabilities);
    let given = [
        ("process Uid", who.uid),
        ("process Gid", who.uid),
        ("process NoNewPrivs", "1"),
        ("process Seccomp", "2"),
        ("process SigBlk", "0000000000000000"),
        ("process SigIgn", "0000000000000000"),
        ("process Umask", "0022"),
        ("process securebits", "0"),
        ("process personality", "0"),
        ("process death-signal", "0"),
        ("process affinity", "all"),
        ("process terminal", "ENXIO"),
        ("capabilities inheritable", "none"),
        ("capabilities ambient", "none"),
    ]
    .map(|(key, value)| (key.to_owned(), value));
    let sets = sets.map(|(set, value)| (format!("capabilities {set}"), value));
    for (key, must) in given.into_iter().chain(sets) {
        let is = table.get(&key).unwrap_or("not there");
        if is != must {
            broken.push(format!("{key} is {is}, must be {must}"));
        }
    }
    let groups = table.get("process Groups").unwrap_or("not there");
    if groups != "none" && Some(groups) != who.uid.split(',').next() {
        broken.push(format!("process Groups is {groups}, must be the user's own or none"));
    }
    let descriptors: Vec<_> = table.section("descriptor").map(|(number, _)| number).collect();
    if descriptors != ["0", "1", "2"] {
        broken.push(format!("descriptors are {descriptors:?}, must be 0, 1 and 2"));
    }
    for (key, value) in &table.lines {
        let (section, name) = key.split_once(' ').unwrap();
        if let Some(must) = must(section, name, value) {
            broken.push(format!("{key} is {value}: {must}"));
        }
    }
    broken
}

/// The rule that a line breaks.
fn must(section: &str, name: &str, value: &str) -> Option<&'static str> {
    let refused = reach(value) == Reach::Refused;
    let unless = |holds: bool, rule| (!holds).then_some(rule);
    let one_of = |names: &[&str]| names.contains(&name);
    match section {
        "namespace-of" => {
            let own = ["pid", "mnt", "net", "ipc", "uts", "cgroup"];
            unless(!own.contains(&name) || value.starts_with("own"), "must be the cell's own")
        }
        "cgroup" => unless(value == "root", "must look like the root"),
        "namespace" if name == "clone-plain" => unless(value == "done", "must work"),
        // Libraries fall back to clone on no other answer.
        "namespace" if name.starts_with("clone3") => unless(value == "ENOSYS", "must be ENOSYS"),
        "namespace" if name == "unshare-FILES" => None,
        // Refused or nonsense, but never joined.
        "namespace" => unless(value.starts_with('E'), "no namespace is made or joined"),
        "x32" | "i386" => unless(refused, "only native programs run"),
        "key" => unless(refused, "keyrings know no namespace"),
        "mount-call" => {
            let may = one_of(&["chroot", "statmount", "listmount"]);
            unless(may || refused, "nothing is mounted")
        }
        "service" => {
            let kernels = ["bpf", "io_uring", "userfaultfd", "perf_event", "move_pages", "migrate"];
            let kernels = kernels.iter().any(|service| name.starts_with(service));
            unless(!kernels || refused, "no such service for cells")
        }
        "host" => {
            let may = ["adjtimex-read", "TIOCSTI-stdin", "TIOCSTI-own-terminal", "kill-everyone"];
            unless(may.contains(&name) || refused, "the host's state is the host's")
        }
        "socket" => {
            let number = name.split('-').next();
            unless(![Some("38"), Some("40")].contains(&number) || refused, "no AF_ALG, no AF_VSOCK")
        }
        "use" => {
            let beyond = ["LINUX_IMMUTABLE", "IPC_LOCK", "SYS_", "LEASE", "more-than-given"];
            let beyond = beyond.iter().any(|use_| name.starts_with(use_));
            unless(!beyond || value.starts_with('E'), "nobody has this capability")
        }
        "node" => unless(may_open(name, value), "no device of the host's"),
        "writable" if value == "done" => unless(one_of(&WRITABLE), "not for writing"),
        "remount" => unless(refused, "mounts stay as they are"),
        "mount" if name.starts_with("/sys") || name.starts_with("/proc/") => {
            let masked = value.contains("root=/null,");
            unless(masked || value.contains(",ro,"), "must be read-only")
        }
        "look" => unless(!HIDDEN.contains(&name) || refused, "must be hidden"),
        "write" => {
            let may = ["/proc/self/", "/proc/1/", "/proc/pressure/"];
            unless(may.iter().any(|dir| name.starts_with(dir)), "the kernel's settings stay")
        }
        "init-read" | "init-link" => unless(value.starts_with('E'), "the init is out of reach"),
        "trace" if name.ends_with("-init") => {
            // Its limits and CPUs belong to the cell's root.
            let may = ["prlimit-init", "sched_setaffinity-init"];
            unless(may.contains(&name) || refused, "the init is out of reach")
        }
        _ => None,
    }
}

fn may_open(name: &str, value: &str) -> bool {
    let list =
        |value: &str| value == "none" || value.split(',').all(|node| DEVICES.contains(&node));
    let harmless = ["null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts0"];
    match name {
        "not-forbidden-block" => value == "none",
        "not-forbidden-character" => list(value),
        _ => harmless.contains(&name) || reach(value) == Reach::Refused,
    }
}

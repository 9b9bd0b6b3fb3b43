//! The same tries in the container that Docker makes: its bundle of 2026, run by runc.

use std::fmt::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::order::{Difference, Reach, Side, TRIES, about_init, compare, reach};
use super::table::{Call, Table, calls, named, without_host};
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

/// An old libseccomp doesn't know the newest calls by name, and runc leaves those out of the filter:
/// the profile's own word counts.
fn with_newest_names(table: &Table, calls: &[Call]) -> Table {
    let allowed = |name: &str| {
        let this =
            |call: &&Call| call.name == name || call.number.is_some_and(|n| n.to_string() == name);
        calls.iter().find(this).filter(|call| call.docker == "allow").and_then(|call| call.number)
    };
    let lines = table.lines.iter().map(|(key, value)| {
        let name = ["syscall ", "mount-call "].iter().find_map(|start| key.strip_prefix(start));
        let old = reach(value) == Reach::Refused
            && name.and_then(allowed).is_some_and(super::golden::exists);
        (key.clone(), if old { "reached".to_owned() } else { value.clone() })
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
            "user": {"uid": setup.uid, "gid": setup.uid},
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

/// Two cells to compare.
#[derive(Debug)]
pub struct Pair {
    pub title: &'static str,
    pub ours: Table,
    pub theirs: Table,
}

/// What differs without being less, and why: a line's beginning and the reason.
const OTHER: [(&str, &str); 7] = [
    ("descriptor 0", "runc copies standard input through a pipe; hotcell's is the null device"),
    ("process SigIgn", "runc hands on a signal that it ignores itself"),
    (
        "mount /",
        "a plain directory there; an overlay or a read-only root here; `/tmp` is fn's tmpfs",
    ),
    ("writable /", "as above"),
    ("environment", "the host name"),
    ("process hostname", "fn's containers without a network of their own have the host's name"),
    ("limit", "as the caller has it"),
];

/// Differences that give more than Docker, known and accepted: none.
const LOOSER: [(&str, &str); 0] = [];

fn reason(list: &[(&str, &'static str)], key: &str) -> Option<&'static str> {
    list.iter().find(|(start, _)| key.starts_with(start)).map(|(_, reason)| *reason)
}

/// Nothing may be looser without a reason, nor differ without one.
pub fn check(pairs: &[Pair]) {
    let mut page = head();
    let mut unexplained = Vec::new();
    for pair in pairs {
        let [ours, theirs] = [&pair.ours, &pair.theirs].map(comparable);
        let differences = compare(&ours, &theirs);
        section(&mut page, pair.title, &ours, &differences);
        for difference in &differences {
            let list = match difference.side {
                Side::Stricter => continue,
                Side::Looser => &LOOSER[..],
                Side::Other => &OTHER[..],
            };
            if reason(list, &difference.key).is_none() {
                unexplained.push(format!("{}: {}", pair.title, words(difference)));
            }
        }
    }
    if super::blessing() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/probe.md");
        std::fs::write(path, page).unwrap();
    }
    let count = unexplained.len();
    assert!(
        count == 0,
        "{count} lines give more than Docker, or differ:\n  {}",
        unexplained.join("\n  ")
    );
}

/// Docker's container has no init of ours, and the view of a hybrid host's cgroups is each one's own.
fn comparable(table: &Table) -> Table {
    named(table).filtered(|key, _| {
        let cgroups = key.contains("/sys/fs/cgroup/") || key.starts_with("cgroup ");
        let place = ["process pid", "process parent", "namespace-of "];
        !about_init(key) && !cgroups && !place.iter().any(|start| key.starts_with(start))
    })
}

fn words(difference: &Difference) -> String {
    let side = match difference.side {
        Side::Stricter => "stricter",
        Side::Looser => "LOOSER",
        Side::Other => "other",
    };
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "not there".to_owned());
    let (ours, theirs) = (value(&difference.ours), value(&difference.theirs));
    format!("{side}: {}: Docker {theirs}, hotcell {ours}", difference.key)
}

fn head() -> String {
    let uname = rustix::system::uname();
    let today = std::process::Command::new("date").args(["-u", "+%F"]).output().unwrap().stdout;
    format!(
        "# What a cell reaches, against Docker\n\n\
         A static program (`runtime-tests/probe/`) tries every system call number, namespaces, \
         mounts, sockets of each family, devices, tracing, keys, kernel services, capabilities, and \
         the files of `/proc` and `/sys`, and says what came of each try. It runs in hotcell's cells \
         and in the container that Docker makes, and each line is compared by one order: refused, \
         let through to nothing, let through to an error, done. A mount that forbids more, a set \
         that holds less and a descriptor that is not there are stricter.\n\n\
         \"Docker\" is Docker's bundle as of 2026, run by {}: its fourteen capabilities, mounts, \
         devices, masks, and its default system call profile, without AppArmor. Calls that the local \
         libseccomp can't name yet count as the profile has them. `clone3` is refused by both with \
         ENOSYS, so that libraries fall back to `clone`.\n\n\
         The test `probe::no_cell_gives_more_than_dockers_container` makes this comparison and \
         fails on a line that gives more, or that differs without a reason given here. This page is \
         written by `HOTCELL_BLESS=1 cargo test --all-features --test runtime -- \
         no_cell_gives_more`.\n\n\
         Linux {}, {}, {}.\n",
        Peer::Runc.version().unwrap_or_default(),
        uname.release().to_string_lossy(),
        uname.machine().to_string_lossy(),
        String::from_utf8(today).unwrap().trim(),
    )
}

fn section(page: &mut String, title: &str, ours: &Table, differences: &[Difference]) {
    let tries =
        ours.lines.iter().filter(|(key, _)| TRIES.contains(&key.split(' ').next().unwrap()));
    let (tries, refused) = tries.fold((0, 0), |(all, refused), (_, value)| {
        (all + 1, refused + usize::from(reach(value) == Reach::Refused))
    });
    let of = |side| differences.iter().filter(move |difference| difference.side == side);
    let counts = [Side::Stricter, Side::Looser, Side::Other].map(|side| of(side).count());
    let [stricter, looser, other] = counts;
    write!(
        page,
        "\n## {title}\n\n{} lines, {tries} of them tries, {refused} of those refused. Stricter than \
         Docker: {stricter}. Looser: {looser}. Neither: {other}.\n",
        ours.lines.len(),
    )
    .unwrap();
    for (side, list) in [(Side::Looser, &LOOSER[..]), (Side::Other, &OTHER[..])] {
        if of(side).next().is_none() {
            continue;
        }
        let name = if side == Side::Looser { "Looser" } else { "Neither stricter nor looser" };
        write!(page, "\n### {name}\n\n| line | Docker | hotcell | why |\n|---|---|---|---|\n")
            .unwrap();
        for difference in of(side) {
            let why = reason(list, &difference.key).unwrap_or("UNEXPLAINED");
            row(page, difference, Some(why));
        }
    }
    if of(Side::Stricter).next().is_some() {
        page.push_str("\n### Stricter\n\n| line | Docker | hotcell |\n|---|---|---|\n");
        of(Side::Stricter).for_each(|difference| row(page, difference, None));
    }
}

fn row(page: &mut String, difference: &Difference, why: Option<&str>) {
    let value = |value: &Option<String>| match value.as_deref() {
        None => "not there".to_owned(),
        Some(value) if value.len() > 60 => format!("`{}`", value.replace(',', ", ")),
        Some(value) => format!("`{value}`"),
    };
    let (ours, theirs) = (value(&difference.ours), value(&difference.theirs));
    let why = why.map(|why| format!(" {why} |")).unwrap_or_default();
    writeln!(page, "| `{}` | {theirs} | {ours} |{why}", difference.key).unwrap();
}

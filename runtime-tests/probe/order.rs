//! Which of two answers gives a process more: the order in which cells are compared.

use super::table::Table;

/// How far a try got.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Reach {
    /// Turned away before anything looked at it, or nothing to be seen.
    Refused,
    /// Let through, and the kernel has no such thing.
    Absent,
    /// Let through, and the kernel found a fault in it.
    Faulted,
    /// Let through, and done.
    Done,
}

pub fn reach(value: &str) -> Reach {
    match value {
        "EPERM" | "EACCES" | "EROFS" | "ENOSYS" | "killed-SIGSYS" | "hidden" | "none"
        | "null-device" => Reach::Refused,
        "absent" | "ENOENT" | "ENXIO" | "ENODEV" | "zeros" | "empty" => Reach::Absent,
        _ if value.starts_with('E') => Reach::Faulted,
        _ => Reach::Done,
    }
}

/// What the kernel says of a thing that it was built without.
pub fn lacking(value: &str) -> bool {
    let faults = ["EINVAL", "EOPNOTSUPP", "ENOTTY", "EIO"];
    value == "ENOSYS" || reach(value) == Reach::Absent || faults.contains(&value)
}

/// Sections that say how tries ended, and not what is given.
pub const TRIES: [&str; 20] = [
    "syscall",
    "x32",
    "i386",
    "namespace",
    "mount-call",
    "trace",
    "key",
    "service",
    "host",
    "personality",
    "prctl",
    "socket",
    "netlink",
    "net",
    "use",
    "node",
    "device-read",
    "device-write",
    "writable",
    "remount",
];

/// Sections about the init that stays as PID 1.
pub fn about_init(key: &str) -> bool {
    key.starts_with("init-")
        || key.starts_with("write /proc/1/")
        || key.starts_with("trace ") && key.ends_with("-init")
        || key.starts_with("namespace setns-pid1")
}

/// One line that two cells don't have in common.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    pub key: String,
    pub ours: Option<String>,
    pub theirs: Option<String>,
    pub side: Side,
}

/// Whose cell gives less.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    Stricter,
    Looser,
    /// Neither gives more.
    Other,
}

/// Every line that differs in more than the kernel's choice of words.
pub fn compare(ours: &Table, theirs: &Table) -> Vec<Difference> {
    let new = theirs.lines.iter().filter(|(key, _)| ours.get(key).is_none());
    let keys = ours.lines.iter().chain(new).map(|(key, _)| key);
    let difference = |key: &String| {
        let side = side(key, ours.get(key), theirs.get(key))?;
        let [ours, theirs] = [ours, theirs].map(|table| table.get(key).map(str::to_owned));
        Some(Difference { key: key.clone(), ours, theirs, side })
    };
    keys.filter_map(difference).collect()
}

fn side(key: &str, ours: Option<&str>, theirs: Option<&str>) -> Option<Side> {
    if ours == theirs {
        return None;
    }
    let (section, name) = key.split_once(' ').unwrap();
    let of = |less: bool| Some(if less { Side::Stricter } else { Side::Looser });
    match (section, ours, theirs) {
        ("capabilities" | "node", Some(ours), Some(theirs)) if is_list(section, name) => {
            let set = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
            let theirs = set(theirs);
            of(ours == "none" || set(ours).iter().all(|item| theirs.contains(item)))
        }
        (_, Some(ours), Some(theirs)) if TRIES.contains(&section) || section == "look" => {
            let (ours, theirs) = (reach(ours), reach(theirs));
            if ours == theirs { None } else { of(ours < theirs) }
        }
        // Refused where the other has nothing to try.
        (_, Some(ours), None) if TRIES.contains(&section) && reach(ours) == Reach::Refused => None,
        ("write" | "descriptor" | "device-read" | "device-write", None, _)
        | ("device", None, _) => Some(Side::Stricter),
        ("write" | "descriptor" | "device-read" | "device-write", _, None) => Some(Side::Looser),
        ("mount", Some(ours), Some(theirs)) => mounts(ours, theirs),
        ("process", Some(ours), Some(theirs)) if ["NoNewPrivs", "Seccomp"].contains(&name) => {
            of(ours > theirs)
        }
        ("namespace-of", Some(ours), Some(theirs)) if ours[..3] != theirs[..3] => {
            of(ours.starts_with("own"))
        }
        ("cgroup", Some(ours), Some(_)) => of(ours == "root"),
        _ => Some(Side::Other),
    }
}

fn is_list(section: &str, name: &str) -> bool {
    section == "capabilities" || name.starts_with("not-forbidden")
}

/// By what each forbids on the mount.
fn mounts(ours: &str, theirs: &str) -> Option<Side> {
    let forbids = |text: &str, what: &str| text.split(',').any(|option| option == what);
    let [mut more, mut less] = [false; 2];
    for what in ["ro", "nosuid", "nodev", "noexec"] {
        more |= forbids(ours, what) && !forbids(theirs, what);
        less |= forbids(theirs, what) && !forbids(ours, what);
    }
    match (more, less) {
        (_, true) => Some(Side::Looser),
        (true, false) => Some(Side::Stricter),
        (false, false) => Some(Side::Other),
    }
}

//! Which devices a cell may use: its list as rules, and the filter that makes the kernel keep to
//! them.
//!
//! A cell's root may make any node, as Docker's may; opening what isn't granted is denied. Every
//! cell's own cgroup has its own filter, attached while the cgroup is empty, so nothing that other
//! drivers do later changes it; filters further up hold as well where they were attached to.
//!
//! The parent of all cells has a filter too, the one for a cell without wishes. It yields to the
//! cells' own, and there is never more than one. It is there for speed: the host's first device
//! filter makes the kernel patch its code, 0.2 ms that every cell would pay without it; and a new
//! driver takes the loaded program from there, which saves it the kernel's verifier.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType, LinuxResources};
use rustix::io::Errno;

use super::Error;
use super::device_program::{ALL, Kind, MKNOD, READ, Rule, WRITE, compile};
use super::files::Dir;
use crate::sys::bpf::{self, Below, BpfError};

/// What the specification's list can't take away: node making, and the devices that are nobody's.
/// `None` is any number.
const ALWAYS: [(Kind, Option<u32>, Option<u32>, u8); 11] = [
    (Kind::Char, None, None, MKNOD),
    (Kind::Block, None, None, MKNOD),
    (Kind::Char, Some(1), Some(3), ALL),
    (Kind::Char, Some(1), Some(5), ALL),
    (Kind::Char, Some(1), Some(7), ALL),
    (Kind::Char, Some(1), Some(8), ALL),
    (Kind::Char, Some(1), Some(9), ALL),
    (Kind::Char, Some(5), Some(0), ALL),
    (Kind::Char, Some(5), Some(1), ALL),
    (Kind::Char, Some(5), Some(2), ALL),
    (Kind::Char, Some(136), None, ALL),
];

/// A cell's list, compiled.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Filter {
    instructions: Vec<u64>,
}

impl Filter {
    /// The filter for the specification's list. No list denies what an empty one denies.
    pub(super) fn new(resources: &LinuxResources) -> Result<Filter, Error> {
        let list = resources.devices().as_deref().unwrap_or_default();
        let mut rules = list.iter().map(rule).collect::<Result<Vec<Rule>, Error>>()?;
        rules.extend(ALWAYS.map(|(kind, major, minor, access)| Rule {
            allow: true,
            kind: Some(kind),
            major,
            minor,
            access,
        }));
        let too_long = || Error::DeviceRule {
            rule: format!("{} rules", list.len()),
            why: "are more than a filter can hold",
        };
        Ok(Filter { instructions: compile(&rules).ok_or_else(too_long)? })
    }

    /// Attaches the filter to a cell's cgroup.
    pub(super) fn attach(&self, cell: &Dir) -> Result<(), Error> {
        let attached = loaded(&self.instructions)
            .and_then(|program| bpf::attach(program.as_fd(), cell.as_fd(), Below::Holds));
        attached.map_err(|BpfError { call, source }| Error::Devices {
            op: call,
            path: cell.path().to_owned(),
            hint: match Errno::from_io_error(&source) {
                Some(Errno::PERM) => {
                    " (needs CAP_SYS_ADMIN, or CAP_BPF and CAP_NET_ADMIN, and no cgroup above whose \
                     device filter forbids others below it)"
                }
                Some(Errno::NOSYS | Errno::INVAL) => " (needs a kernel with CONFIG_CGROUP_BPF)",
                _ => "",
            },
            source,
        })
    }
}

/// Gives the parent of all cells its filter, unless it has it. A failure is no error here: cells
/// don't depend on it, and if filters don't work at all, theirs will say so.
pub(super) fn hold(parent: &Dir) {
    let Ok(Filter { instructions }) = Filter::new(&LinuxResources::default()) else {
        return;
    };
    if let Ok(Some(program)) = bpf::attached(parent.as_fd())
        && bpf::is(program.as_fd(), &instructions).unwrap_or(false)
    {
        lock(|cache| cache.entry(instructions).or_insert_with(|| Arc::new(program)).clone());
        return;
    }
    // In place of another version's filter, or none.
    let held = loaded(&instructions)
        .and_then(|program| bpf::attach(program.as_fd(), parent.as_fd(), Below::Yields));
    if let Err(BpfError { call, source }) = held {
        tracing::debug!(cgroup = %parent.path().display(), call, %source, "holding a device filter");
    }
}

type Cache = HashMap<Vec<u64>, Arc<OwnedFd>>;

fn lock<T>(act: impl FnOnce(&mut Cache) -> T) -> T {
    static CACHE: Mutex<Option<Cache>> = Mutex::new(None);
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    act(cache.get_or_insert_default())
}

/// The program, loaded once in this process. Attached ones need no descriptor, so a process with
/// ever new lists may forget those it has.
fn loaded(instructions: &[u64]) -> Result<Arc<OwnedFd>, BpfError> {
    const MOST: usize = 64;
    lock(|cache| {
        if let Some(program) = cache.get(instructions) {
            return Ok(program.clone());
        }
        let program = Arc::new(bpf::load(instructions)?);
        if cache.len() >= MOST {
            cache.clear();
        }
        cache.insert(instructions.to_vec(), program.clone());
        Ok(program)
    })
}

/// One entry of the specification's list. What is left out means all.
fn rule(entry: &LinuxDeviceCgroup) -> Result<Rule, Error> {
    let bad = |why| Error::DeviceRule { rule: entry.to_string(), why };
    let kind = match entry.typ() {
        None | Some(LinuxDeviceType::A) => None,
        Some(LinuxDeviceType::B) => Some(Kind::Block),
        Some(LinuxDeviceType::C | LinuxDeviceType::U) => Some(Kind::Char),
        Some(LinuxDeviceType::P) => return Err(bad("the type must be a, b, c or u")),
    };
    let number = |number: Option<i64>| match number {
        None | Some(-1) => Ok(None),
        Some(number) => {
            u32::try_from(number).map(Some).map_err(|_| bad("is about no device number"))
        }
    };
    let access = match entry.access() {
        None => ALL,
        Some(letters) => letters.chars().try_fold(0, |access, letter| match letter {
            'r' => Ok(access | READ),
            'w' => Ok(access | WRITE),
            'm' => Ok(access | MKNOD),
            _ => Err(bad("the access must be made of r, w and m")),
        })?,
    };
    if access == 0 {
        return Err(bad("the access must be made of r, w and m"));
    }
    let (major, minor) = (number(entry.major())?, number(entry.minor())?);
    Ok(Rule { allow: entry.allow(), kind, major, minor, access })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(list: &str) -> Result<Filter, Error> {
        Filter::new(&serde_json::from_str(&format!(r#"{{"devices":{list}}}"#)).unwrap())
    }

    fn none() -> Filter {
        Filter::new(&LinuxResources::default()).unwrap()
    }

    #[test]
    fn a_cell_without_wishes_has_the_filter_of_one_without_a_list() {
        let limits = crate::bundle::Limits::default().to_resources().unwrap();
        assert_eq!(Filter::new(&limits).unwrap(), none());
        assert_eq!(filter("[]").unwrap(), none());
        assert_eq!(filter(r#"[{"allow":true},{"allow":false,"type":"a"}]"#).unwrap(), none());
        // Harmless devices can't be taken away.
        let harmless = r#"[{"allow":false,"type":"c","major":1,"minor":3,"access":"rwm"}]"#;
        assert_eq!(filter(harmless).unwrap(), none());
    }

    #[test]
    fn numbers_left_out_and_minus_one_are_any() {
        let left_out = filter(r#"[{"allow":true,"type":"b","major":8,"access":"r"}]"#).unwrap();
        let minus_one =
            filter(r#"[{"allow":true,"type":"b","major":8,"minor":-1,"access":"r"}]"#).unwrap();
        assert_eq!(left_out, minus_one);
        assert_ne!(left_out, none());
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_rule() {
        for (entry, part) in [
            (r#"{"allow":true,"type":"p"}"#, "p *:*"),
            (r#"{"allow":true,"type":"c","major":-2}"#, "c -2:*"),
            (r#"{"allow":true,"type":"c","minor":4294967296}"#, "c *:4294967296"),
            (r#"{"allow":true,"type":"c","access":"rx"}"#, "rx"),
            (r#"{"allow":true,"type":"c","access":""}"#, "r, w and m"),
        ] {
            let error = filter(&format!("[{entry}]")).unwrap_err();
            assert!(matches!(error, Error::DeviceRule { .. }));
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}
#[cfg(test)]
mod measure {
    use super::*;
    use std::time::{Duration, Instant};
    #[test]
    #[ignore = "x"]
    fn measure() {
        let root = Dir::open(std::path::Path::new("/sys/fs/cgroup/unified")).unwrap();
        let parent = root.make_or_enter("hcbpfm").unwrap();
        let limits = crate::bundle::Limits::default().to_resources().unwrap();
        for spaced in [0u64, 80] {
            hold(&parent);
            let go = |name: &str, act: &dyn Fn()| {
                let mut a = vec![];
                for _ in 0..100 {
                    std::thread::sleep(Duration::from_millis(spaced));
                    let t = Instant::now();
                    act();
                    a.push(t.elapsed());
                }
                a.sort();
                println!("spaced {spaced} {name} p50 {:?} p90 {:?}", a[50], a[90]);
            };
            go("Filter::new", &|| drop(Filter::new(&limits).unwrap()));
            go("attached", &|| drop(bpf::attached(parent.as_fd()).unwrap().unwrap()));
            go("hold", &|| hold(&parent));
            let f = Filter::new(&limits).unwrap();
            go("load", &|| drop(bpf::load(&f.instructions).unwrap()));
        }
        root.remove("hcbpfm").unwrap();
    }
}

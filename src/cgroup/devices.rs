//! Which devices a cell may use: its list as rules, and the filter that makes the kernel keep to
//! them.
//!
//! A cell's root may make any node, as Docker's may; opening what isn't granted is denied. Every
//! cell's own cgroup has its own filter, attached before its task is there, so nothing that other
//! drivers do later changes it; filters further up hold as well where they were attached to.
//!
//! The parent of all cells has a filter too, the one for a cell without wishes. It yields to the
//! cells' own, and there is never more than one. It is there for speed: the host's first device
//! filter makes the kernel patch its code, 0.2 ms that every cell would pay without it; and a new
//! driver takes the loaded program from there, which saves it the kernel's verifier.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType, LinuxResources};
use rustix::io::Errno;

use super::Error;
use super::device_program::{ALL, Kind, MKNOD, READ, Rule, WRITE, compile};
use super::files::Dir;
use crate::fault::{self, Point};
use crate::sys::bpf::{self, Below, BpfError};

/// What the specification's list can't take away: node making, and the devices that are nobody's.
/// `None` is any number.
const ALWAYS: [(Kind, Option<u32>, Option<u32>, u8); 10] = [
    (Kind::Char, None, None, MKNOD),
    (Kind::Block, None, None, MKNOD),
    (Kind::Char, Some(1), Some(3), ALL),
    (Kind::Char, Some(1), Some(5), ALL),
    (Kind::Char, Some(1), Some(7), ALL),
    (Kind::Char, Some(1), Some(8), ALL),
    (Kind::Char, Some(1), Some(9), ALL),
    (Kind::Char, Some(5), Some(0), ALL),
    (Kind::Char, Some(5), Some(2), ALL),
    (Kind::Char, Some(136), None, ALL),
];

/// A cell's list.
#[derive(Default, Debug)]
pub(super) struct Filter {
    rules: Vec<Rule>,
}

impl Filter {
    /// The filter for the specification's list. No list denies what an empty one denies.
    pub(super) fn new(resources: &LinuxResources) -> Result<Filter, Error> {
        let mut rules = Vec::new();
        for entry in resources.devices().as_deref().unwrap_or_default() {
            let rule = rule(entry)?;
            if rule.is_about_everything() {
                rules.clear();
            }
            if rule.allow || !rules.is_empty() {
                rules.push(rule);
            }
        }
        Ok(Filter { rules })
    }

    /// Attaches the filter to a cell's cgroup.
    pub(super) fn attach(&self, cell: &Dir) -> Result<(), Error> {
        let attached = self.loaded().and_then(|program| {
            fault::at(Point::FilterAttach, || {
                bpf::attach(program.as_fd(), cell.as_fd(), Below::Holds)
            })
        });
        attached.map_err(|error| Filter::failed(cell, error))
    }

    /// The same for a cgroup that may have had a container before, whose filter goes.
    pub(super) fn replace(&self, cell: &Dir) -> Result<(), Error> {
        for program in
            bpf::all_attached(cell.as_fd()).map_err(|error| Filter::failed(cell, error))?
        {
            bpf::detach(program.as_fd(), cell.as_fd())
                .map_err(|error| Filter::failed(cell, error))?;
        }
        self.attach(cell)
    }

    fn failed(cell: &Dir, BpfError { call, source }: BpfError) -> Error {
        Error::Devices {
            op: call,
            path: cell.path().to_owned(),
            hint: match Errno::from_io_error(&source) {
                Some(Errno::PERM) => {
                    " (needs CAP_SYS_ADMIN, or CAP_BPF and CAP_NET_ADMIN, and no cgroup above whose \
                     device filter forbids others below it)"
                }
                Some(Errno::NOSYS | Errno::INVAL) => {
                    " (needs Linux 5.14 with CONFIG_CGROUP_BPF, and no system call filter around \
                     this process that refuses the call)"
                }
                _ => "",
            },
            source,
        }
    }

    /// Whether a v1 devices hierarchy has words for every rule: it knows exceptions to a denial of all,
    /// and no denial inside of what is allowed.
    pub(super) fn fits_a_list(&self) -> bool {
        self.rules.iter().all(|rule| rule.allow)
    }

    /// Writes the list into a cgroup of the v1 devices hierarchy. A rule without words there
    /// ([`fits_a_list`](Filter::fits_a_list)) takes the filter beside it.
    pub(super) fn list_in(&self, cell: &Dir) -> Result<(), Error> {
        cell.write("devices.deny", "a")?;
        let rules = [&self.rules[..], &always()].concat();
        for of_a_kind in rules.chunk_by(|one, next| one.allow == next.allow) {
            let file = if of_a_kind[0].allow { "devices.allow" } else { "devices.deny" };
            cell.write_each(file, of_a_kind.iter().flat_map(lines))?;
        }
        Ok(())
    }

    fn compile(&self) -> Result<Vec<u64>, BpfError> {
        compile(&[&self.rules[..], &always()].concat())
            .ok_or_else(|| BpfError { call: "compiling rules", source: Errno::TOOBIG.into() })
    }

    /// The program, compiled and loaded once in this process.
    fn loaded(&self) -> Result<Arc<OwnedFd>, BpfError> {
        let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(program) = cache.get(&self.rules) {
            return Ok(program.clone());
        }
        let program = Arc::new(fault::at(Point::FilterLoad, || bpf::load(&self.compile()?))?);
        // An attached program needs no descriptor, so what is cached may be forgotten.
        if cache.len() >= MOST_CACHED {
            cache.clear();
        }
        cache.insert(self.rules.clone(), program.clone());
        Ok(program)
    }
}

/// What always stands behind a cell's own rules.
fn always() -> [Rule; ALWAYS.len()] {
    ALWAYS.map(|(kind, major, minor, access)| Rule {
        allow: true,
        kind: Some(kind),
        major,
        minor,
        access,
    })
}

/// A rule in the words of the v1 hierarchy, where "all kinds" has no accesses and no numbers.
fn lines(rule: &Rule) -> Vec<String> {
    if rule.is_about_everything() {
        return vec!["a".to_owned()];
    }
    let kinds = match rule.kind {
        None => "bc",
        Some(Kind::Block) => "b",
        Some(Kind::Char) => "c",
    };
    let number = |number: Option<u32>| number.map_or_else(|| "*".to_owned(), |n| n.to_string());
    let accesses = [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')];
    let accesses = accesses.iter().filter(|(bit, _)| rule.access & bit != 0);
    let accesses: String = accesses.map(|(_, letter)| *letter).collect();
    let line = |kind| format!("{kind} {}:{} {accesses}", number(rule.major), number(rule.minor));
    kinds.chars().map(line).collect()
}

/// The loaded programs by their rules. A process with ever new lists keeps no more than this many.
static CACHE: Mutex<BTreeMap<Vec<Rule>, Arc<OwnedFd>>> = Mutex::new(BTreeMap::new());
const MOST_CACHED: usize = 64;

/// Gives the parent of all cells its filter, unless it has it. A failure is no error here: cells
/// don't depend on it, and if filters don't work at all, theirs will say so.
pub(super) fn hold(parent: &Dir) {
    if let Err(BpfError { call, source }) = try_hold(parent) {
        tracing::debug!(cgroup = %parent.path().display(), call, %source, "holding a device filter");
    }
}

fn try_hold(parent: &Dir) -> Result<(), BpfError> {
    let filter = Filter::default();
    if let Ok(Some(program)) = bpf::attached(parent.as_fd())
        && bpf::is(program.as_fd(), &filter.compile()?).unwrap_or(false)
    {
        let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
        cache.entry(filter.rules).or_insert_with(|| Arc::new(program));
        return Ok(());
    }
    // In place of another version's filter, or none.
    let program = filter.loaded()?;
    bpf::attach(program.as_fd(), parent.as_fd(), Below::Yields)
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

    fn program(list: &str) -> Vec<u64> {
        filter(list).unwrap().compile().unwrap()
    }

    #[test]
    fn a_cell_without_wishes_has_the_filter_of_one_without_a_list() {
        let limits = crate::bundle::Limits::default().to_resources().unwrap();
        assert_eq!(Filter::new(&limits).unwrap().rules, []);
        assert_eq!(Filter::new(&LinuxResources::default()).unwrap().rules, []);
        assert_eq!(filter("[]").unwrap().rules, []);
    }

    #[test]
    fn rules_are_taken_in_order() {
        let everything = filter(r#"[{"allow":true}]"#).unwrap();
        assert_eq!(everything.rules.len(), 1);
        assert_eq!(filter(r#"[{"allow":true},{"allow":false,"type":"a"}]"#).unwrap().rules, []);
        let disk = r#"{"allow":true,"type":"b","major":8,"access":"r"}"#;
        let but_one = r#"{"allow":false,"type":"b","major":8,"minor":1,"access":"rw"}"#;
        assert_eq!(filter(&format!("[{but_one},{disk}]")).unwrap().rules.len(), 1);
        assert_ne!(program(&format!("[{disk},{but_one}]")), program(&format!("[{disk}]")));
    }

    #[test]
    fn harmless_devices_cannot_be_taken_away() {
        let null = r#"{"allow":false,"type":"c","major":1,"minor":3,"access":"rwm"}"#;
        let list = format!(r#"[{{"allow":true,"type":"c","major":1,"access":"r"}},{null}]"#);
        let without = r#"[{"allow":true,"type":"c","major":1,"access":"r"}]"#;
        assert_eq!(program(&list), program(without));
    }

    #[test]
    fn numbers_left_out_and_minus_one_are_any() {
        let left_out = program(r#"[{"allow":true,"type":"b","major":8,"access":"r"}]"#);
        let minus_one = r#"[{"allow":true,"type":"b","major":8,"minor":-1,"access":"r"}]"#;
        assert_eq!(left_out, program(minus_one));
        assert_ne!(left_out, program("[]"));
    }

    #[test]
    fn too_many_rules_are_refused() {
        let rules = r#"{"allow":true,"type":"b","major":8},"#.repeat(600);
        let error = filter(&format!("[{}]", rules.trim_end_matches(','))).unwrap();
        assert_eq!(error.compile().unwrap_err().call, "compiling rules");
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

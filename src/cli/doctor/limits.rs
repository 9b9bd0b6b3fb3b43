//! What enforces each limit, proved by what the trial cell got. A limit that nothing enforces is
//! refused, so each of these lines says what a user can ask for.

use std::path::Path;

use super::Check;
use super::trial::Ran;
use crate::cgroup::{Controller, Hierarchies};

/// The files of v1 and of v2 that hold a limit.
const SWAP_FILES: [&str; 2] = ["memory.memsw.limit_in_bytes", "memory.swap.max"];

/// What is known of swap before any cell is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Swap {
    /// Whether this host uses any.
    in_use: bool,
    /// Whether cells can be limited in it; `None` while there is no parent of cells to look at.
    limitable: Option<bool>,
}

impl Swap {
    /// Looks at the parent of all cells, since the root of v2 has no limits.
    pub(super) fn look(host: &Hierarchies, parent: &str) -> Swap {
        Swap::from_parts(host, parent, std::fs::read_to_string("/proc/swaps").ok().as_deref())
    }

    fn from_parts(host: &Hierarchies, parent: &str, swaps: Option<&str>) -> Swap {
        let (_, tree, file) = enforcer(host, Controller::Memory, SWAP_FILES);
        let dir = tree.join(parent);
        let limitable = dir.is_dir().then(|| dir.join(file).exists());
        // A header, then one line for each area. Not knowing is no excuse for a missing limit.
        Swap { in_use: swaps.is_none_or(|text| text.lines().nth(1).is_some()), limitable }
    }

    /// Whether a limit on memory is refused because it would leave swap unlimited.
    pub(super) fn blocks_memory(&self) -> bool {
        self.in_use && self.limitable == Some(false)
    }
}

/// The version, the tree and the file for a controller: v1 where it is mounted, v2 otherwise.
fn enforcer<'a>(
    host: &'a Hierarchies,
    controller: Controller,
    files: [&'static str; 2],
) -> (&'static str, &'a Path, &'static str) {
    match host.v1.get(&controller) {
        Some(mount) => ("v1", mount, files[0]),
        None => ("v2", &host.unified, files[1]),
    }
}

/// `v1 pids.max at /sys/fs/cgroup/pids`, and the file alone; `None` when no tree has it.
fn place(
    host: Option<&Hierarchies>,
    controller: Controller,
    files: [&'static str; 2],
) -> Option<(String, &'static str)> {
    let host = host.filter(|host| host.offers(controller))?;
    let (version, tree, file) = enforcer(host, controller, files);
    Some((format!("{version} {file} at {}", tree.display()), file))
}

/// A limit that cells ask for by the controller's name.
pub(super) fn limit(
    controller: Controller,
    host: Option<&Hierarchies>,
    ran: Option<&Ran>,
) -> Check {
    let name = controller.v2_name();
    let files = match controller {
        Controller::Memory => ["memory.limit_in_bytes", "memory.max"],
        Controller::Cpu => ["cpu.cfs_quota_us", "cpu.max"],
        _ => ["pids.max"; 2],
    };
    let Some((place, file)) = place(host, controller, files) else {
        let detail = format!("no such cgroup controller: a limit on {name} will be refused");
        return Check::missing(name, detail);
    };
    match ran {
        Some(ran) if ran.enforces(file) => Check::ok(name, place),
        // The trial asked for every limit that is offered, but for one on memory that can't hold.
        Some(_) if controller == Controller::Memory => Check::missing(
            name,
            "a limit on memory will be refused: swap is in use and can't be limited",
        ),
        Some(_) => Check::degraded(name, format!("{place}; the trial cell did not get it")),
        None => Check::degraded(name, format!("{place}; not tried: no cell ran")),
    }
}

/// The part of a memory limit that keeps a cell out of swap.
pub(super) fn swap(host: Option<&Hierarchies>, swap: Option<&Swap>, ran: Option<&Ran>) -> Check {
    const NAME: &str = "swap";
    let Some((place, file)) = place(host, Controller::Memory, SWAP_FILES) else {
        return Check::missing(NAME, "no cgroup controller memory, which limits swap too");
    };
    match (swap.copied(), ran) {
        (Some(swap), _) if swap.blocks_memory() => {
            Check::missing(NAME, format!("no {file}: a limit on memory will be refused"))
        }
        (_, Some(ran)) if ran.enforces(file) => Check::ok(NAME, place),
        (_, Some(_)) => Check::degraded(NAME, format!("no {file}, and no swap to limit")),
        (_, None) => Check::degraded(NAME, format!("{place}; not tried: no cell ran")),
    }
}

/// What cells read and write is measured; there is no limit on it to be refused.
pub(super) fn io(host: Option<&Hierarchies>, ran: Option<&Ran>) -> Check {
    const NAME: &str = "io";
    let files = ["blkio.throttle.io_service_bytes_recursive", "io.stat"];
    let Some((place, file)) = place(host, Controller::Io, files) else {
        return Check::missing(NAME, "no such cgroup controller: disk use will not be counted");
    };
    match ran {
        Some(ran) if ran.counts_disk => Check::ok(NAME, format!("counted, not limited: {place}")),
        Some(_) => Check::degraded(NAME, format!("no {file}: disk use will not be counted")),
        None => Check::degraded(NAME, format!("{place}; not tried: no cell ran")),
    }
}

/// Whether the kernel charges swap to cells at all, and whether that matters here.
pub(super) fn swap_accounting(swap: Option<&Swap>) -> Check {
    const NAME: &str = "swap-accounting";
    match swap {
        Some(Swap { limitable: Some(true), in_use: true }) => {
            Check::ok(NAME, "swap is in use and charged to cells")
        }
        Some(Swap { limitable: Some(true), in_use: false }) => {
            Check::ok(NAME, "on; no swap is in use")
        }
        Some(Swap { limitable: Some(false), in_use: true }) => {
            let detail = "off, and swap is in use: boot with swapaccount=1, or swapoff -a";
            Check::missing(NAME, detail)
        }
        Some(Swap { limitable: Some(false), in_use: false }) => {
            let detail = "off; should swap be turned on, limits on memory will be refused";
            Check::degraded(NAME, detail)
        }
        Some(Swap { limitable: None, .. }) | None => {
            Check::degraded(NAME, "not known: there is no parent cgroup of cells to look at")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;
    use crate::cgroup::Enforced;

    /// A hybrid host with memory at `at` alone, and a parent of cells in it.
    fn hybrid(at: &Path) -> Hierarchies {
        std::fs::create_dir_all(at.join("hotcell")).unwrap();
        let v1 = [(Controller::Memory, at.to_owned())].into();
        Hierarchies { unified: "/v2".into(), v2: vec![Controller::Pids], v1, mounted: vec![] }
    }

    fn ran(files: &[&'static str]) -> Ran {
        let enforced =
            |file: &&'static str| Enforced { file: (*file).into(), value: String::new() };
        Ran { enforced: files.iter().map(enforced).collect(), ..Ran::fixture() }
    }

    const AREA: &str = "Filename Type Size Used Priority\n/dev/sda2 partition 1 0 -2\n";
    const NO_AREA: &str = "Filename Type Size Used Priority\n";

    #[test]
    fn a_limit_is_ok_only_with_proof_and_says_where() {
        let at = tempfile::tempdir().unwrap();
        let host = hybrid(at.path());
        let of = |controller, ran: Option<&Ran>| limit(controller, Some(&host), ran);
        let proof = ran(&["memory.limit_in_bytes", "pids.max"]);

        let memory = of(Controller::Memory, Some(&proof));
        assert_eq!(memory.state, State::Ok);
        assert_eq!(memory.detail, format!("v1 memory.limit_in_bytes at {}", at.path().display()));
        assert_eq!(of(Controller::Pids, Some(&proof)).detail, "v2 pids.max at /v2");
        assert_eq!(of(Controller::Pids, None).state, State::Degraded);
        let cpu = of(Controller::Cpu, Some(&proof));
        assert_eq!(cpu.state, State::Missing);
        assert!(cpu.detail.contains("a limit on cpu will be refused"), "{cpu:?}");
        assert_eq!(limit(Controller::Pids, None, None).state, State::Missing);
    }

    #[test]
    fn swap_without_accounting_blocks_limits_on_memory() {
        let at = tempfile::tempdir().unwrap();
        let host = hybrid(at.path());
        let look = |text: Option<&str>| Swap::from_parts(&host, "hotcell", text);
        let states = |text: Option<&str>, ran: &Ran| {
            let found = look(text);
            (swap(Some(&host), Some(&found), Some(ran)).state, swap_accounting(Some(&found)).state)
        };
        let without = ran(&[]);

        assert!(look(Some(AREA)).blocks_memory() && look(None).blocks_memory());
        assert_eq!(states(Some(AREA), &without), (State::Missing, State::Missing));
        assert_eq!(limit(Controller::Memory, Some(&host), Some(&without)).state, State::Missing);
        assert!(!look(Some(NO_AREA)).blocks_memory());
        assert_eq!(states(Some(NO_AREA), &without), (State::Degraded, State::Degraded));

        std::fs::write(at.path().join("hotcell").join(SWAP_FILES[0]), "").unwrap();
        assert!(!look(Some(AREA)).blocks_memory());
        assert_eq!(states(Some(AREA), &ran(&[SWAP_FILES[0]])), (State::Ok, State::Ok));
    }

    #[test]
    fn no_parent_of_cells_leaves_swap_unknown() {
        let at = tempfile::tempdir().unwrap();
        let found = Swap::from_parts(&hybrid(at.path()), "elsewhere", Some(AREA));
        assert!(!found.blocks_memory());
        assert_eq!(swap_accounting(Some(&found)).state, State::Degraded);
    }

    #[test]
    fn disk_use_is_ok_only_when_counted() {
        let mut host =
            Hierarchies { unified: "/v2".into(), v2: vec![], v1: [].into(), mounted: vec![] };
        assert_eq!(io(Some(&host), None).state, State::Missing);
        host.v2.push(Controller::Io);
        let counted = Ran { counts_disk: true, ..Ran::fixture() };
        assert!(io(Some(&host), Some(&counted)).detail.ends_with("v2 io.stat at /v2"));
        let uncounted = Ran { counts_disk: false, ..Ran::fixture() };
        assert_eq!(io(Some(&host), Some(&uncounted)).state, State::Degraded);
    }
}

//! Every point of the driver's own made to fail, each time a story comes to it.

use std::collections::BTreeSet;

use hotcell::cgroup::Hierarchies;
use hotcell::contract::ErrorKind;
use hotcell::fault::{Action, ENV, Fault, Point};
use hotcell::launch::{Stdio, Stream};
use hotcell::native::{Instance, Options};
use rustix::fs::Mode;
use rustix::io::Errno;

use super::grave::bury;
use super::story::{TELLINGS, Telling, Trouble, chain};
use crate::bed::{Bed, script};
use crate::embedder::player;
use crate::host::soak;
use crate::snapshot::Snapshot;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(every_point_that_fails_is_told_and_leaves_nothing, Cells, Busybox, Pids),
        test!(what_is_done_once_in_a_process_is_tried_again, Cells, Busybox),
        test!(the_page_has_every_point),
    ]
}

/// What is there when a story begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Before {
    /// Nothing.
    Empty,
    /// What a killed driver has left.
    Grave,
    /// An embedder whose files nobody else may read.
    Umask,
    /// Nothing, in a process that has never started a cell.
    NewProcess,
}

use Before::{Empty, Grave, NewProcess, Umask};

/// A point, and all that may come of it: the phase and how the error begins. `nothing`: the driver
/// finds another way, or leaves it to a later try, and tells the log.
type Row = (Point, Before, &'static [&'static str]);

const ROWS: [Row; 62] = [
    (Point::PrivateDirectory, Empty, &["open: make", "create: make"]),
    (Point::PrivateDirectory, Grave, &["open: make", "create: make", "nothing"]),
    (Point::LockFile, Grave, &["open: lock", "create: lock", "leave: lock", "nothing"]),
    (Point::Lock, Empty, &["open: lock", "create: lock", "leave: lock", "nothing"]),
    (Point::LockRemoval, Empty, &["close: could not remove the name", "leave: remove"]),
    (Point::ParentMark, Empty, &["open: write"]),
    (Point::ParentMarkRemoval, Empty, &["leave: remove"]),
    (Point::InstanceDirectory, Empty, &["nothing"]),
    (Point::RecordDraft, Empty, &["nothing"]),
    (Point::RecordRename, Empty, &["nothing"]),
    (Point::RecordRemoval, Empty, &["leave: remove"]),
    (Point::DataRemoval, Empty, &["leave: remove"]),
    (Point::InstanceRemoval, Empty, &["leave: remove"]),
    (Point::InstanceRemoval, Grave, &["leave: remove", "nothing"]),
    (Point::DataDirectoryRemoval, Empty, &["nothing"]),
    (Point::SweepRemoval, Grave, &["nothing"]),
    (Point::InstanceList, Empty, &["leave: list", "nothing"]),
    (Point::LayerDirectory, Empty, &["create: make"]),
    (Point::LayerMode, Empty, &["create: take the mode of"]),
    (Point::IdsLink, Empty, &["create: make"]),
    (Point::IdsRemoval, Empty, &["close: could not remove the cell's ids"]),
    (Point::BundleDirectory, Empty, &["create: make"]),
    (Point::BundleFile, Empty, &["create: write"]),
    (Point::BundleWrite, Empty, &["create: write"]),
    (Point::TrashRename, Empty, &["nothing"]),
    (Point::TrashDirectory, Empty, &["nothing"]),
    (Point::TrashThread, Empty, &["nothing"]),
    (Point::TrashRemoval, Empty, &["nothing"]),
    (Point::CgroupRoot, Empty, &["open: open"]),
    (Point::CgroupRoot, Grave, &["open: open", "nothing"]),
    (Point::CgroupDirectory, Empty, &["open: make", "create: make", "run: cgroup: make"]),
    (Point::CgroupOpen, Empty, &["open: open", "create: open", "run: cgroup: open", "nothing"]),
    (
        Point::CgroupMode,
        Umask,
        &["open: open to readers", "create: open to readers", "run: cgroup: open to readers"],
    ),
    (Point::CgroupList, Grave, &["nothing"]),
    (
        Point::CgroupFile,
        Empty,
        &[
            "open: write",
            "create: write",
            "run: cgroup: open",
            "run: cgroup: write",
            "freeze: open",
            "wait: open",
            "nothing",
        ],
    ),
    (
        Point::CgroupWrite,
        Empty,
        &[
            "open: write",
            "create: write",
            "run: cgroup: write",
            "freeze: write",
            "thaw: write",
            "nothing",
        ],
    ),
    (Point::CgroupRead, Empty, &["freeze: read", "thaw: read", "wait: read", "nothing"]),
    (Point::CgroupRemoval, Empty, &["close: could not remove cgroup", "nothing"]),
    (Point::CgroupRemoval, Grave, &["close: could not remove cgroup", "nothing"]),
    (Point::ParentRemoval, Empty, &["leave: remove"]),
    (Point::FilterLoad, Empty, &["create: bpf for the device filter of"]),
    (Point::FilterAttach, Empty, &["create: bpf for the device filter of"]),
    (Point::ControlSocket, Empty, &["run: socketpair"]),
    (Point::Clone, Empty, &["run: clone3"]),
    (Point::InitProc, Empty, &["run: find the cell's init in /proc"]),
    (Point::IdMap, Empty, &["run: mapping the ids"]),
    (Point::UserNamespace, Empty, &["run: open the user namespace"]),
    (Point::TreeCopy, Empty, &["run: mount"]),
    (Point::TreeAttributes, Empty, &["run: mount"]),
    (Point::TreeIdMap, Empty, &["run: mount"]),
    (Point::PlanHeader, Empty, &["run: send the plan"]),
    (Point::PlanWithMounts, Empty, &["run: send the plan"]),
    (Point::InitStep, Empty, &["run: set-up step"]),
    (Point::ReportWait, Empty, &["run: poll", "nothing"]),
    (Point::ReportRead, Empty, &["run: recv from the init", "nothing"]),
    (Point::Signal, Empty, &["signal: pidfd_send_signal"]),
    (Point::EndWait, Empty, &["wait: poll", "nothing"]),
    (Point::ExitStatus, Empty, &["wait: waitid", "nothing"]),
    (Point::StreamPipe, Empty, &["run: making the pipes of the standard streams"]),
    (Point::StreamOwner, Empty, &["run: making the pipes of the standard streams"]),
    (Point::StreamWatch, Empty, &["run: making the pipes of the standard streams"]),
    (Point::EndWatch, Empty, &["nothing"]),
];

/// What a process does once and keeps.
const ONCE: [(Point, &str); 6] = [
    (Point::Cradle, "run: start a thread for the cells' mount namespace"),
    (Point::Memfd, "run: memfd_create"),
    (Point::MemfdWrite, "run: write to a memfd"),
    (Point::MemfdSeal, "run: fcntl(F_ADD_SEALS)"),
    (Point::HostNull, "run: open /dev/null"),
    (Point::DescriptorCopy, "run: fcntl(F_DUPFD)"),
];

fn every_point_that_fails_is_told_and_leaves_nothing(bed: &Bed) {
    let empty = Snapshot::take(bed);
    let hybrid = Hierarchies::detect().unwrap().is_hybrid();
    for (point, before, says) in ROWS {
        let mut said = BTreeSet::new();
        let mut struck = 0;
        for telling in tellings() {
            // Later times are like earlier ones: a limit, a step, a look at a file.
            for nth in 1..=if soak() { 80 } else { 6 } {
                let place = format!("{}, time {nth}, {telling:?}, {before:?}", point.name());
                let Some(troubles) = tell(bed, telling, before, Fault::new(point, FAIL).nth(nth))
                else {
                    break;
                };
                struck += 1;
                said.insert(judge(&troubles, says).unwrap_or_else(|why| panic!("{place}: {why}")));
                let told = troubles.iter().any(|t| ["close", "leave"].contains(&t.phase));
                // What was told, and a grave that could not be emptied, are the next driver's.
                // So is the file of a name whose lock nobody could ask for.
                let owed = told || before == Grave || point == Point::Lock;
                let clean = |when| {
                    let left = empty.compare(bed);
                    left.unwrap_or_else(|left| panic!("{place}, {when}: {troubles:?}: {left}"));
                };
                if !owed {
                    clean("at once");
                }
                drop(bed.driver());
                clean("after a sweep");
            }
        }
        assert!(struck > 0, "no story comes to {} ({before:?})", point.name());
        // On a hybrid host limits are written while the init builds the cell, on another before.
        let elsewhere = |say: &&&str| match hybrid {
            true => **say == "create: write",
            false => say.starts_with("run: cgroup:"),
        };
        let here = says.iter().filter(|say| !elsewhere(say));
        let never: Vec<_> = here.filter(|say| !said.contains(*say)).collect();
        assert!(never.is_empty() || !soak(), "{}: never {never:?}", point.name());
    }
    for point in Point::of_drivers() {
        let told = ROWS.iter().any(|row| row.0 == *point) || ONCE.iter().any(|(p, _)| p == point);
        assert!(told, "no row is about {}", point.name());
    }
}

/// Two of the four come to every point.
fn tellings() -> Vec<Telling> {
    match soak() {
        true => TELLINGS.to_vec(),
        false => vec![TELLINGS[0], TELLINGS[3]],
    }
}

const FAIL: Action = Action::Fail(Errno::IO);

/// The story with the fault in it; `None` if it does not come to it.
fn tell(bed: &Bed, telling: Telling, before: Before, fault: Fault) -> Option<Vec<Trouble>> {
    if before == Grave {
        bury(bed);
    }
    let umask = (before == Umask).then(|| rustix::process::umask(Mode::from_raw_mode(0o077)));
    let armed = fault.arm();
    let troubles = telling.tell(bed.options(), || ());
    umask.map(rustix::process::umask);
    armed.struck().then_some(troubles)
}

/// Which of the row's outcomes it is; the first trouble is the fault's, others may follow from it.
fn judge(troubles: &[Trouble], says: &[&'static str]) -> Result<&'static str, String> {
    let Some(first) = troubles.first() else {
        let nothing = says.iter().find(|say| **say == "nothing");
        return nothing.copied().ok_or_else(|| "nothing came of it".to_owned());
    };
    // The contract puts its operation first.
    let text = match (first.kind, first.text.split_once(": ")) {
        (Some(_), Some((_, text))) if !first.text.starts_with("run: making") => text,
        _ => &first.text,
    };
    let told = format!("{}: {}", first.phase, text.trim_start_matches("run: "));
    let say = says.iter().find(|say| told.starts_with(**say));
    let say = *say.ok_or_else(|| format!("{told:?} is none of {says:?}"))?;
    if !told.contains("Input/output error") {
        return Err(format!("{told:?} does not say why"));
    }
    match (first.kind, first.phase) {
        (None, _) => {}
        (Some(ErrorKind::Leftovers), "close") => {}
        (Some(ErrorKind::Launch), "run") if !told.contains("standard streams") => {}
        (Some(ErrorKind::Host), phase) if phase != "close" => {}
        (Some(kind), phase) => return Err(format!("{kind:?} in {phase}")),
    }
    Ok(say)
}

fn what_is_done_once_in_a_process_is_tried_again(bed: &Bed) {
    let play = |fault: Option<String>| {
        let output = player(bed, "fault-first").envs(fault.map(|fault| (ENV, fault))).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    let undisturbed = play(None);
    let (first, then) = undisturbed.split_once('\n').unwrap();
    assert_eq!(first, "it works");
    for (point, says) in ONCE {
        let out = play(Some(format!("{}=EIO", point.name())));
        let (first, after) = out.split_once('\n').unwrap_or_default();
        assert!(first.starts_with(says), "{}: {out}", point.name());
        assert!(first.ends_with("Input/output error (os error 5)"), "{out}");
        // What was made by then was kept for the next start, or is gone.
        assert_eq!(after, then, "{}", point.name());
    }
}

/// Two starts; the first may meet a fault. Then what is open.
pub fn play(options: Options) {
    // Numbers that the init has a use for.
    let low = std::fs::File::open("/proc/self/stat").unwrap();
    let free = low.try_clone().unwrap();
    let instance = Instance::open(options).unwrap();
    drop(free);
    let start = || {
        let stdin = Stream::Fd(low.try_clone().unwrap().into());
        let created = instance.create(None, &script("exit 0"), None).unwrap();
        created.run(Stdio { stdin, ..Stdio::default() })
    };
    match start() {
        Ok(running) => {
            running.close().unwrap();
            println!("it works");
        }
        Err(error) => println!("run: {}", chain(&error)),
    }
    start().unwrap().close().unwrap();
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count();
    println!("then it works, with {open} descriptors open");
}

fn the_page_has_every_point(_: &Bed) {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/faults.md");
    let page = std::fs::read_to_string(page).unwrap_or_default();
    let mut wanted = String::new();
    for point in Point::of_drivers() {
        let rows = ROWS.iter().filter(|(of, ..)| of == point);
        let says = rows.flat_map(|(_, before, says)| says.iter().map(move |say| (*before, *say)));
        let once = ONCE.iter().filter(|(of, _)| of == point).map(|(_, say)| (NewProcess, *say));
        let mut told = Vec::new();
        for (before, say) in says.chain(once) {
            let text = match (before, say) {
                (Grave, "nothing") => "nothing; the next driver sweeps".to_owned(),
                (_, "nothing") => "nothing".to_owned(),
                (_, say) => format!("`{say} …`"),
            };
            if !told.contains(&text) {
                told.push(text);
            }
        }
        wanted.push_str(&format!("| {} | {} |\n", point.name(), told.join(", ")));
    }
    assert!(page.contains(&wanted), "docs/faults.md must have these rows:\n{wanted}");
}

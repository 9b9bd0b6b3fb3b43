//! Every step of the init made to fail, and the init killed at every step.

use std::collections::BTreeSet;
use std::path::PathBuf;

use hotcell::bundle::Bundle;
use hotcell::cgroup::{Controller, View};
use hotcell::fault::{Action, Fault, KINDS_OF_STEPS, Point};
use hotcell::launch::{self, Place, Stdio, Step, compile};
use hotcell::native::{Created, Error, Instance};
use hotcell::oci_spec::runtime::{LinuxNamespaceType, Spec};
use rustix::io::Errno;

use super::scenes::scenes;
use crate::bed::Bed;
use crate::host::soak;
use crate::snapshot::Snapshot;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![test!(a_step_that_fails_is_named_and_leaves_nothing, Cells, Busybox)]
}

/// What a hybrid host has besides.
const HYBRID: [&str; 4] = ["Cgroups", "JoinTasks", "SealTray", "Tray"];
/// Steps of processes that enter a cell: `exec/faults.rs` has those fail.
const ENTERING: [&str; 1] = ["Enter"];

/// What no flag asks for: `fields` has tests for these, and for what their failures say.
const FIELDS: [&str; 8] = [
    "KeepProc",
    "WriteProc",
    "Scheduler",
    "IoPriority",
    "Affinity",
    "MemoryPolicy",
    "Personality",
    "Attributes",
];

/// What the driver never asks for; `life` has tests for these.
const LIFE: [&str; 12] = [
    "BeginProc",
    "Birth",
    "EnterNamespace",
    "Filter",
    "FindProgram",
    "Hook",
    "Latch",
    "Listen",
    "Pause",
    "Terminal",
    "TimeNamespace",
    "Unshare",
];

fn a_step_that_fails_is_named_and_leaves_nothing(bed: &Bed) {
    let driver = bed.driver();
    let mut kinds = BTreeSet::new();
    for (scene, spec) in scenes(bed) {
        create(&driver, &spec).run(Stdio::default()).unwrap().close().unwrap();
        let before = Snapshot::take(bed);
        let steps = steps(bed, &driver, &create(&driver, &spec));
        for (number, step) in (1..).zip(&steps) {
            let failed = |action| {
                let created = create(&driver, &spec);
                let armed = Fault::new(Point::InitStep, action).nth(number).arm();
                let error = created.run(Stdio::default()).unwrap_err();
                assert!(armed.struck(), "{scene}, step {number}");
                error
            };
            let errno = if number % 2 == 0 { Errno::NOMEM } else { Errno::PERM };
            is_about(&failed(Action::Fail(errno)), number as usize, step, steps.len(), errno);
            if soak() || number % 5 == 0 {
                let killed = failed(Action::Kill).to_string();
                assert_eq!(killed, "the cell died during set-up: exit code 99", "{scene}, {step}");
            }
            before.compare(bed).unwrap_or_else(|left| panic!("{scene}, step {number}: {left}"));
        }
        kinds.extend(steps.iter().map(kind));
    }
    let hybrid = driver.hierarchies().is_hybrid();
    let missing = HYBRID.iter().filter(|kind| !hybrid && !kinds.contains(**kind)).count();
    let elsewhere = ENTERING.len() + LIFE.len() + FIELDS.len();
    assert_eq!(kinds.len() + missing + elsewhere, KINDS_OF_STEPS, "{kinds:?}");
}

fn create(driver: &Instance, spec: &Spec) -> Created {
    let name = "cell".parse().unwrap();
    driver.create_from_spec(Some(name), spec.clone(), None).unwrap()
}

/// The name of the operation.
fn kind(step: &Step) -> String {
    let text = format!("{step:?}");
    text.chars().take_while(|c| c.is_ascii_alphanumeric()).collect()
}

/// The error names the step with its arguments.
fn is_about(error: &Error, number: usize, step: &Step, steps: usize, errno: Errno) {
    let Error::Launch(launch::Error::Step { index, count, step: text, source, .. }) = error else {
        panic!("{error:?} is not about step {number}, {step}");
    };
    assert_eq!((*index, *count), (number, steps), "{error}");
    assert_eq!(source.raw_os_error(), Some(errno.raw_os_error()), "{error}");
    // What a failure mostly means may follow.
    assert!(text.starts_with(&step.to_string()), "{text} is not {step}");
}

fn has_own_ids(spec: &Spec) -> bool {
    let listed = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    listed.into_iter().flatten().any(|one| one.typ() == LinuxNamespaceType::User)
}

/// The plan that the driver will make for this cell.
fn steps(bed: &Bed, driver: &Instance, created: &Created) -> Vec<Step> {
    let (instance, cell) = (driver.id(), created.name().as_str());
    let hierarchies = driver.hierarchies();
    let leaf = format!("{}/{instance}-{cell}", bed.options().cgroup_parent);
    let spec = created.spec();
    let limits = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    let counted = limits.and_then(|limits| limits.pids().as_ref()).is_some_and(|p| p.limit() > 0);
    let joined = |controller: &Controller| *controller != Controller::Pids || counted;
    let joins: Vec<_> = hierarchies.v1.keys().copied().filter(joined).collect();
    let view =
        |name: &'static str, mount: &PathBuf| View { name: name.into(), path: mount.join(&leaf) };
    let v1 = joins.iter().map(|controller| view(controller.v1_name(), &hierarchies.v1[controller]));
    let views = match hierarchies.is_hybrid() {
        true => v1.chain([view("unified", &hierarchies.unified)]).collect(),
        false => vec![view("", &hierarchies.unified)],
    };
    let bundle = tempfile::tempdir_in(bed.path("")).unwrap();
    let bundle = Bundle::create(bundle.path(), created.spec()).unwrap();
    let place = Place {
        disk: Some(bed.path("data").join(instance).join(cell)),
        joins: joins.iter().map(|controller| controller.v2_name().into()).collect(),
        views,
        later: hierarchies.is_hybrid() && !has_own_ids(&spec),
        null_streams: [true; 3],
        ..Place::default()
    };
    compile(&bundle, &place).unwrap().0.steps
}

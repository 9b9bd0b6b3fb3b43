//! Every step of a process that enters a cell made to fail, and killed there; and the parent's calls.

use hotcell::fault::{Action, Fault, Point};
use hotcell::launch::{Error, Stdio};
use rustix::io::Errno;

use super::scene::{Scene, idle};
use crate::bed::Bed;
use crate::snapshot::Snapshot;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(a_step_that_fails_is_named_and_leaves_nothing, Cells, Busybox),
        test!(a_call_that_fails_leaves_nothing, Cells, Busybox),
    ]
}

fn a_step_that_fails_is_named_and_leaves_nothing(bed: &Bed) {
    let driver = bed.driver();
    let scene = Scene::new(&driver, &idle());
    scene.sh("true");
    let before = Snapshot::take(bed);
    let start = || scene.start(scene.process(&["true"]), Stdio::default());
    let mut steps = Vec::new();
    for number in 1.. {
        let armed = Fault::new(Point::InitStep, Action::Fail(Errno::NOMEM)).nth(number).arm();
        let result = start();
        if !armed.struck() {
            result.unwrap().wait(None).unwrap().unwrap();
            break;
        }
        match result.unwrap_err() {
            Error::Step { index, step, source, .. } => {
                let errno = source.raw_os_error();
                assert_eq!((index, errno), (number as usize, Some(Errno::NOMEM.raw_os_error())));
                steps.push(step);
            }
            other => panic!("{other:?}"),
        }
        drop(armed);
        let armed = Fault::new(Point::InitStep, Action::Kill).nth(number).arm();
        let error = start().unwrap_err().to_string();
        assert!(armed.struck());
        assert_eq!(error, "the cell died during set-up: exit code 99", "step {number}");
        before.compare(bed).unwrap_or_else(|left| panic!("step {number}: {left}"));
    }
    for word in ["enter the cell", "enter the new root", "become 0:0", "report all clear"] {
        assert!(steps.iter().any(|step| step.starts_with(word)), "{word}: {steps:?}");
    }
    scene.close();
}

fn a_call_that_fails_leaves_nothing(bed: &Bed) {
    let driver = bed.driver();
    let scene = Scene::new(&driver, &idle());
    scene.sh("true");
    let before = Snapshot::take(bed);
    let points = [
        Point::InitProc,
        Point::CgroupFile,
        Point::ControlSocket,
        Point::DescriptorCopy,
        Point::Clone,
        Point::PlanWithMounts,
        Point::ReportWait,
        Point::ReportRead,
    ];
    for point in points {
        let mut struck = false;
        for number in 1.. {
            let armed = Fault::new(point, Action::Fail(Errno::IO)).nth(number).arm();
            let started = scene.start(scene.process(&["true"]), Stdio::default());
            if !armed.struck() {
                started.unwrap().wait(None).unwrap().unwrap();
                break;
            }
            struck = true;
            drop(armed);
            let error = started.unwrap_err();
            let why = format!("{error}: {:?}", std::error::Error::source(&error));
            assert!(why.contains("Input/output error") || why.contains("code: 5"), "{why}");
            before.compare(bed).unwrap_or_else(|left| panic!("{point:?} {number}: {left}"));
        }
        assert!(struck || point == Point::DescriptorCopy, "{point:?}");
    }
    scene.close();
}

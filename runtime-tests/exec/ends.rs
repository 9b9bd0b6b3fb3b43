//! How processes in a cell end, and why others never start.

use std::io::Read;
use std::time::Duration;

use hotcell::launch::{Error, Exit, Stdio, Stream, exec};
use rustix::process::Signal;

use super::scene::{Scene, idle, proc};
use crate::bed::Bed;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(codes_and_signals_arrive, Cells, Busybox),
        test!(what_cannot_be_executed_says_why, Cells, Busybox),
        test!(a_directory_must_be_there_and_inside, Cells, Busybox),
        test!(a_frozen_cell_is_not_entered, Cells, Busybox),
        test!(a_cell_that_ended_is_not_entered, Cells, Busybox),
        test!(a_full_cell_is_not_entered, Cells, Busybox, Pids),
        test!(what_hotcell_does_not_do_is_refused, Cells, Busybox),
        test!(a_thousand_leave_nothing, Cells, Busybox),
        test!(many_threads_enter_one_cell, Cells, Busybox),
    ]
}

fn codes_and_signals_arrive(bed: &Bed) {
    let driver = bed.driver();
    let scene = Scene::new(&driver, &idle());
    for (script, exit) in [
        ("exit 0", Exit::Code(0)),
        ("exit 37", Exit::Code(37)),
        ("kill -9 $$", Exit::Signal(9)),
        ("kill -11 $$", Exit::Signal(11)),
    ] {
        assert_eq!(scene.run(scene.process(&["sh", "-c", script])).unwrap().exit, exit);
    }
    let (mut out, out_end) = std::io::pipe().unwrap();
    let stdio = Stdio { stdout: Stream::Fd(out_end.into()), ..Stdio::default() };
    let script = "trap 'echo got; exit 5' USR1; echo ready; while :; do sleep 0.05; done";
    let further = scene.start(scene.process(&["sh", "-c", script]), stdio).unwrap();
    let mut ready = [0; 6];
    out.read_exact(&mut ready).unwrap();
    further.signal(Signal::USR1).unwrap();
    assert_eq!(further.wait(None).unwrap(), Some(Exit::Code(5)));
    // One that ends on its own does not end the cell.
    assert!(!scene.running.cell().has_ended());
    scene.close();
}

fn what_cannot_be_executed_says_why(bed: &Bed) {
    let driver = bed.driver();
    for mut config in [idle(), idle()] {
        config.init = !config.init;
        let scene = Scene::new(&driver, &config);
        for (command, errno) in [("no-such", 2), ("/no/such", 2), ("/etc", 13), ("/etc/passwd", 13)]
        {
            let error = scene.start(scene.process(&[command]), Stdio::default()).unwrap_err();
            assert_eq!(error.exec_errno(), Some(errno), "{command}: {error}");
            assert_eq!(error.to_string(), format!("cannot execute {command:?}"));
        }
        scene.close();
    }
}

fn a_directory_must_be_there_and_inside(bed: &Bed) {
    let driver = bed.driver();
    let mut config = idle();
    config.upper = hotcell::bundle::Upper::Tmpfs;
    let scene = Scene::new(&driver, &config);
    scene.sh("ln -s /proc/self/fd/3 /three; ln -s /proc/1/root/.. /up; ln -s / /all; mkdir /d; mkdir /gone");
    let mut dirs: Vec<_> = (0..20).map(|n| format!("/proc/self/fd/{n}")).collect();
    dirs.extend(["/three", "/up", "/proc/1/cwd", "/missing", "/etc/passwd"].map(str::to_owned));
    for dir in dirs {
        let mut process = scene.process(&["sh", "-c", "pwd; ls /.."]);
        process.set_cwd(dir.clone().into());
        let error = scene.start(process, Stdio::default()).unwrap_err();
        assert!(
            error.to_string().contains(&format!("enter the working directory {dir}")),
            "{error}"
        );
    }
    assert_eq!(scene.sh("ls -d /missing 2>&1; true"), "ls: /missing: No such file or directory\n");
    let mut process = scene.process(&["sh", "-c", "pwd"]);
    process.set_cwd("/all/d".into());
    assert_eq!(scene.run(process.clone()).unwrap().out, "/d\n");
    process.set_cwd("d".into());
    let error = scene.start(process, Stdio::default()).unwrap_err().to_string();
    assert_eq!(error, "config.json: process.cwd: d is not an absolute path");
    scene.close();
}

fn a_frozen_cell_is_not_entered(bed: &Bed) {
    let driver = bed.driver();
    let scene = Scene::new(&driver, &idle());
    scene.running.cgroup().freeze().unwrap();
    let error = scene.start(scene.process(&["true"]), Stdio::default()).unwrap_err();
    assert!(matches!(error, Error::Frozen), "{error}");
    // Who does not mind waits for the thaw.
    std::thread::scope(|scope| {
        let mut willing = scene.plain(scene.process(&["true"]), Stdio::default());
        willing.ignore_frozen = true;
        let waiting = scope.spawn(|| exec(willing).unwrap().wait(None).unwrap());
        std::thread::sleep(Duration::from_millis(100));
        assert!(!waiting.is_finished());
        scene.running.cgroup().thaw().unwrap();
        assert_eq!(waiting.join().unwrap(), Some(Exit::Code(0)));
    });
    scene.close();
}

fn a_cell_that_ended_is_not_entered(bed: &Bed) {
    let driver = bed.driver();
    for init in [true, false] {
        let mut config = idle();
        config.init = init;
        let scene = Scene::new(&driver, &config);
        scene.running.cell().kill().unwrap();
        while !scene.running.cell().has_ended() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let refused = || {
            let error = scene.start(scene.process(&["true"]), Stdio::default()).unwrap_err();
            assert!(matches!(error, Error::Ended), "{error}");
        };
        refused();
        scene.running.cell().wait(None).unwrap();
        refused();
        scene.close();
    }
    // Some of those that come while it ends find it ended, and none stays behind.
    for delay in 0..20 {
        let scene = Scene::new(&driver, &idle());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_micros(100 * delay));
                scene.running.kill().unwrap();
            });
            loop {
                match scene.start(scene.process(&["true"]), Stdio::default()) {
                    Ok(further) => drop(further.wait(None).unwrap().unwrap()),
                    Err(Error::Ended | Error::Died { .. }) => break,
                    Err(other) => panic!("{other}"),
                }
            }
        });
        scene.close();
    }
}

fn a_full_cell_is_not_entered(bed: &Bed) {
    let driver = bed.driver();
    let mut config = idle();
    config.limits.pids = Some(4);
    let scene = Scene::new(&driver, &config);
    let start = || scene.start(scene.process(&["sleep", "1000"]), Stdio::default());
    let mut all = Vec::new();
    let error = loop {
        match start() {
            Ok(further) => all.push(further),
            Err(error) => break error,
        }
        assert!(all.len() < 4);
    };
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(error.to_string().contains("clone") && source.contains("os error 11"), "{error}");
    scene.close_with(all);
}

fn what_hotcell_does_not_do_is_refused(bed: &Bed) {
    let driver = bed.driver();
    let scene = Scene::new(&driver, &idle());
    let mut process = scene.process(&["true"]);
    process.set_selinux_label(Some("a:b:c".into()));
    let error = scene.start(process, Stdio::default()).unwrap_err().to_string();
    assert!(error.contains("process.selinuxLabel"), "{error}");
    let error = scene.start(scene.process(&[]), Stdio::default()).unwrap_err().to_string();
    assert_eq!(error, "config.json: process.args: names no command");
    scene.close();
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn a_thousand_leave_nothing(bed: &Bed) {
    let driver = bed.driver();
    let scene = Scene::new(&driver, &idle());
    let first = scene.running.cell().pid();
    let start = || scene.start(scene.process(&["true"]), Stdio::default()).unwrap();
    start().wait(None).unwrap();
    let inside = || (proc(first, "mountinfo"), scene.sh("set -- /proc/[0-9]*; echo $#"));
    let (open, before) = (descriptors(), inside());
    for _ in 0..if crate::host::soak() { 10_000 } else { 1000 } {
        assert_eq!(start().wait(None).unwrap(), Some(Exit::Code(0)));
    }
    assert_eq!((descriptors(), inside()), (open, before));
    scene.close();
}

fn many_threads_enter_one_cell(bed: &Bed) {
    let driver = bed.driver();
    let scene = Scene::new(&driver, &idle());
    std::thread::scope(|scope| {
        for code in 0..8 {
            let scene = &scene;
            scope.spawn(move || {
                for _ in 0..25 {
                    let process = scene.process(&["sh", "-c", &format!("exit {code}")]);
                    let further = scene.start(process, Stdio::default()).unwrap();
                    assert_eq!(further.wait(None).unwrap(), Some(Exit::Code(code)));
                }
            });
        }
    });
    scene.close();
}

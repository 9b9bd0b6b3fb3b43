//! How commands end, and how hotcell refuses: each with the documented code and one clear line.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio as Pipes};
use std::time::Duration;

use hotcell::bundle::CellConfig;
use hotcell::launch::Exit;
use rustix::process::{Pid, Signal, kill_process};

use crate::bed::{Bed, PROGRAM, Ran, finish, script};
use crate::host::{fixture, soak};
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(every_code_is_itself, Cells, Busybox),
        test!(every_fatal_signal_is_itself, Cells, Busybox, Debian),
        test!(a_kill_without_the_limit_is_not_blamed_on_it, Cells, Busybox, Memory),
        test!(what_cannot_be_executed_has_dockers_codes, Cells, Busybox),
        test!(a_timeout_is_124, Cells, Busybox),
        test!(refusals_are_one_line_and_125, Cells, Busybox),
        test!(an_ordinary_user_is_refused, Cells, Busybox),
        test!(a_name_is_used_once_at_a_time, Cells, Busybox),
        test!(signals_are_handed_on_and_the_second_kills, Cells, Busybox),
        test!(a_hangup_reaches_the_command, Cells, Busybox),
        test!(nobody_reading_holds_up_no_end, Cells, Busybox),
        test!(names_taken_at_once_do_not_disturb_each_other, Cells, Busybox),
        test!(a_closed_stdout_ends_quietly, Cells, Busybox),
        test!(a_full_disk_for_output_is_told, Cells, Busybox),
        test!(output_is_whole, Cells, Busybox),
        test!(stats_tell_the_truth, Cells, Busybox, Memory, Cpu, Pids),
        test!(stats_of_an_earlier_run_never_stand_for_this_ones, Cells, Busybox),
        test!(help_and_version_are_answers, Cells),
    ]
}

fn every_code_is_itself(bed: &Bed) {
    let driver = bed.driver();
    for code in (0..=255).step_by(if soak() { 1 } else { 5 }) {
        for init in [true, false] {
            let mut config = script(&format!("exit {code}"));
            config.init = init;
            let outcome = finish(&driver, &config);
            assert_eq!(outcome.exit, Exit::Code(code), "init: {init}");
            assert!(!outcome.oom_killed);
        }
    }
    // Through the program too.
    for code in [0, 1, 125, 255] {
        assert_eq!(bed.sh(&[], &format!("exit {code}")).code, Some(code));
    }
}

fn every_fatal_signal_is_itself(bed: &Bed) {
    let driver = bed.driver();
    // All whose default is to end the process.
    let fatal =
        [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 24, 25, 26, 27, 29, 30, 31, 34, 64];
    for signal in fatal {
        let suicide = format!("$SIG{{FPE}} = 'DEFAULT'; kill {signal}, $$; sleep 5");
        let config = CellConfig::new(fixture("debian"), ["perl", "-e", &suicide]);
        let outcome = finish(&driver, &config);
        assert_eq!(outcome.exit, Exit::Signal(signal));
        assert_eq!(i32::from(outcome.exit.shell_code()), 128 + signal);
    }
    assert_eq!(bed.sh(&["--init"], "kill -15 $$").code, Some(143));
    // An exit code above 128 is no signal.
    assert_eq!(finish(&driver, &script("exit 137")).exit, Exit::Code(137));
}

fn a_kill_without_the_limit_is_not_blamed_on_it(bed: &Bed) {
    let ran = bed.sh(&["--init", "--memory", "32m"], "kill -9 $$");
    assert_eq!((ran.code, ran.err.as_str()), (Some(137), ""), "{ran:?}");
}

fn what_cannot_be_executed_has_dockers_codes(bed: &Bed) {
    let rootfs = fixture("busybox");
    let cases = [
        ("no-such-program", 127),
        ("/bin/no-such-program", 127),
        ("/bin/no-interpreter", 127),
        ("/bin/not-executable", 126),
        ("not-executable", 126),
        ("/bin/bad-format", 126),
        ("/etc", 126),
        ("/etc/passwd/x", 127),
    ];
    for (command, code) in cases {
        for init in [&["--init"][..], &[]] {
            let args = ["--rootfs", rootfs.to_str().unwrap()];
            let ran = bed.run(args.iter().chain(init).chain(&["--", command]));
            assert_eq!(ran.code, Some(code), "{command}: {ran:?}");
            assert!(one_line(&ran.err).contains(command), "{ran:?}");
        }
    }
}

fn one_line(text: &str) -> &str {
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("hotcell: ") && text.ends_with('\n'), "{text}");
    text
}

fn a_timeout_is_124(bed: &Bed) {
    for init in [&["--init"][..], &[]] {
        let flags: Vec<_> = init.iter().copied().chain(["--timeout", "200ms"]).collect();
        let ran = bed.sh(&flags, "trap '' TERM; echo before; sleep 60");
        assert_eq!((ran.code, ran.out.as_str()), (Some(124), "before\n"), "{ran:?}");
        assert!(one_line(&ran.err).contains("200ms"));
    }
    assert_eq!(bed.sh(&["--timeout", "1m"], "exit 3").code, Some(3));
}

fn refusals_are_one_line_and_125(bed: &Bed) {
    let good = fixture("busybox");
    let good = good.to_str().unwrap();
    let file = bed.path("a-file");
    std::fs::write(&file, "").unwrap();
    let file = file.to_str().unwrap();
    // The flags, and what the line must name.
    let cases: &[(&[&str], &str)] = &[
        (&["--rootfs", good, "--no-such-flag", "--", "true"], "--no-such-flag"),
        (&["--", "true"], "--rootfs"),
        (&["--rootfs", good], "command"),
        (&["--rootfs", "/no/such/root", "--", "true"], "/no/such/root"),
        (&["--rootfs", file, "--", "true"], file),
        (&["--rootfs", good, "--memory", "64q", "--", "true"], "64q"),
        (&["--rootfs", good, "--memory", "0", "--", "true"], "memory limit"),
        (&["--rootfs", good, "--memory", "-1", "--", "true"], "-1"),
        (&["--rootfs", good, "--cpus", "none", "--", "true"], "none"),
        (&["--rootfs", good, "--pids-limit", "0", "--", "true"], "0"),
        (&["--rootfs", good, "--ulimit", "tea=1", "--", "true"], "tea=1"),
        (&["--rootfs", good, "--tmpfs", "/x:huge", "--", "true"], "huge"),
        (&["--rootfs", good, "-v", "/no/such/volume:/x", "--", "true"], "/no/such/volume"),
        (&["--rootfs", good, "-v", "/tmp:x", "--", "true"], "x"),
        (&["--rootfs", good, "-u", "nobodys", "--", "true"], "nobodys"),
        (&["--rootfs", good, "--group-add", "0x0", "--", "true"], "0x0"),
        (&["--rootfs", good, "--cap-add", "EVERYTHING", "--", "true"], "EVERYTHING"),
        (&["--rootfs", good, "--umask", "999", "--", "true"], "999"),
        (&["--rootfs", good, "-u", "4294967296", "--", "true"], "4294967296"),
        (&["--rootfs", good, "--name", "../x", "--", "true"], "../x"),
        (&["--rootfs", good, "--name", "", "--", "true"], "name"),
        (&["--rootfs", good, "--hostname", "", "--", "true"], "hostname"),
        (&["--rootfs", good, "--tmpfs", "/x:size=0", "--", "true"], "size=0"),
        (&["--rootfs", good, "--tmpfs", "/x", "--tmpfs", "/x", "--", "true"], "/x"),
        (&["--rootfs", good, "--network", "bridge", "--", "true"], "bridge"),
        (&["--rootfs", good, "-w", "relative", "--", "true"], "relative"),
        (&["--rootfs", good, "-w", "/etc/passwd", "--", "true"], "/etc/passwd"),
        (&["--rootfs", good, "--env-file", "/no/such/env", "--", "true"], "/no/such/env"),
        (&["--rootfs", good, "--timeout", "soon", "--", "true"], "soon"),
        (&["--rootfs", good, "--stats", "/no/such/dir/x", "--", "true"], "/no/such/dir/x"),
        (&["--rootfs", good, "--bundle-dir", file, "--", "true"], file),
        (&["--rootfs", good, "--tmpfs", "/etc/passwd", "--", "true"], "/etc/passwd"),
        (&["--rootfs", good, "--cgroup-parent", "a/b", "--", "true"], "a/b"),
    ];
    for (args, named) in cases {
        let ran = bed.run(*args);
        assert_eq!(ran.code, Some(125), "{args:?}: {ran:?}");
        assert!(one_line(&ran.err).contains(named), "{args:?}: {ran:?}");
        assert_eq!(ran.out, "", "{args:?}");
    }
    let unknown = Ran::from(Command::new(PROGRAM).arg("no-such-verb").output().unwrap());
    assert!(unknown.code == Some(125) && one_line(&unknown.err).contains("no-such-verb"));
    let none = Ran::from(Command::new(PROGRAM).output().unwrap());
    assert!(none.code == Some(125) && one_line(&none.err).contains("command"), "{none:?}");
}

fn an_ordinary_user_is_refused(bed: &Bed) {
    // The build's directory may be closed to others.
    let program = std::env::temp_dir().join(format!("hotcell-unprivileged-{}", std::process::id()));
    std::fs::copy(PROGRAM, &program).unwrap();
    let output = Command::new(&program)
        .args(["run", "--rootfs", "/", "--", "true"])
        .env("HOTCELL_STATE_DIR", bed.path("state"))
        .uid(65534)
        .gid(65534)
        .current_dir("/")
        .output();
    std::fs::remove_file(&program).unwrap();
    let ran = Ran::from(output.unwrap());
    assert_eq!(ran.code, Some(125), "{ran:?}");
    assert!(one_line(&ran.err).contains("root"), "{ran:?}");
}

fn a_name_is_used_once_at_a_time(bed: &Bed) {
    let mut first = bed.spawn_sh(&["--name", "one", "--init"], "echo up; exec sleep 60");
    let mut up = [0; 3];
    first.stdout.as_mut().unwrap().read_exact(&mut up).unwrap();
    let second = bed.sh(&["--name", "one"], "true");
    assert_eq!(second.code, Some(125), "{second:?}");
    assert!(one_line(&second.err).contains("\"one\""));
    kill_process(Pid::from_child(&first), Signal::TERM).unwrap();
    assert_eq!(first.wait().unwrap().code(), Some(143));
    bed.sh(&["--name", "one"], "true").ok();
}

fn signals_are_handed_on_and_the_second_kills(bed: &Bed) {
    for (signal, flags) in [(Signal::TERM, &["--init"][..]), (Signal::INT, &[])] {
        let script = "trap 'echo got; exit 7' TERM INT; echo up; while :; do sleep 0.05; done";
        let mut child = bed.spawn_sh(flags, script);
        let mut up = [0; 3];
        child.stdout.as_mut().unwrap().read_exact(&mut up).unwrap();
        kill_process(Pid::from_child(&child), signal).unwrap();
        let ran = Ran::from(child.wait_with_output().unwrap());
        assert_eq!((ran.code, ran.out.as_str()), (Some(7), "got\n"), "{ran:?}");
    }
    // PID 1 without a handler ignores the first, as under Docker.
    let mut child = bed.spawn_sh(&[], "echo up; while :; do sleep 0.05; done");
    let mut up = [0; 3];
    child.stdout.as_mut().unwrap().read_exact(&mut up).unwrap();
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none(), "the first signal ended it");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(137));
}

fn a_hangup_reaches_the_command(bed: &Bed) {
    for signal in [Signal::HUP, Signal::QUIT, Signal::USR1] {
        let script = "trap 'exit 7' HUP QUIT USR1; echo up; while :; do sleep 0.05; done";
        let mut child = bed.spawn_sh(&["--init"], script);
        let mut up = [0; 3];
        child.stdout.as_mut().unwrap().read_exact(&mut up).unwrap();
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(7), "{signal:?}");
    }
}

fn nobody_reading_holds_up_no_end(bed: &Bed) {
    // The cell is gone at its deadline; the launcher still has bytes for a reader that may come.
    let child = bed.spawn_sh(&["--timeout", "300ms"], "exec yes");
    std::thread::sleep(Duration::from_secs(2));
    let left = crate::bed::cgroup_dirs().into_iter().filter(|dir| {
        dir.read_dir().is_ok_and(|mut all| all.any(|e| e.unwrap().file_type().unwrap().is_dir()))
    });
    assert_eq!(left.count(), 0);
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    use std::os::unix::process::ExitStatusExt;
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.signal(), Some(15), "{:?}", output.status);
}

fn names_taken_at_once_do_not_disturb_each_other(bed: &Bed) {
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                for round in 0..4 {
                    bed.sh(&["--name", &format!("n-{thread}-{round}")], "true").ok();
                }
            });
        }
    });
    for name in ["trash", "lock", "names", "cells", "instance.json"] {
        bed.sh(&["--name", name, "--upper", "disk"], "true").ok();
    }
}

fn a_closed_stdout_ends_quietly(bed: &Bed) {
    let mut child = bed.spawn_sh(&["--init"], "exec yes");
    let mut some = [0; 4];
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut some).unwrap();
    drop(out);
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.err.as_str()), (Some(128 + 13), ""), "{ran:?}");
}

fn a_full_disk_for_output_is_told(bed: &Bed) {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let rootfs = fixture("busybox");
    let args = ["--rootfs", rootfs.to_str().unwrap(), "--", "echo", "hi"];
    let output = bed.command("run", args).stdout(full).stderr(Pipes::piped()).output().unwrap();
    let ran = Ran::from(output);
    assert_eq!(ran.code, Some(125), "{ran:?}");
    assert!(one_line(&ran.err).contains("standard output"), "{ran:?}");
}

fn output_is_whole(bed: &Bed) {
    let ran = bed.sh(&[], "head -c 20000000 /dev/zero; echo e >&2; printf last");
    assert_eq!((ran.code, ran.out.len(), ran.err.as_str()), (Some(0), 20_000_004, "e\n"));
    assert!(ran.out.ends_with("last"));
}

fn stats_tell_the_truth(bed: &Bed) {
    let file = bed.path("stats.json");
    let script = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; exit 3";
    let flags = [
        "--stats",
        file.to_str().unwrap(),
        "--memory",
        "64m",
        "--cpus",
        "0.5",
        "--pids-limit",
        "9",
    ];
    assert_eq!(bed.sh(&flags, script).code, Some(3));
    let stats: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!((&stats["exit_code"], &stats["signal"]), (&3.into(), &serde_json::Value::Null));
    assert_eq!(stats["oom_killed"], false);
    assert!(stats["cpu_total_us"].as_u64().unwrap() > 1000, "{stats}");
    let cpu = |key: &str| stats[key].as_u64().unwrap();
    assert!(cpu("cpu_user_us") + cpu("cpu_system_us") <= cpu("cpu_total_us") + 10, "{stats}");
    assert!(stats["memory_peak_bytes"].as_u64().unwrap() < 64 << 20, "{stats}");
    let enforced = stats["enforced"].as_object().unwrap();
    assert_eq!(enforced["pids.max"], "9");
    assert!(enforced.len() >= 3, "{stats}");
    assert!(stats["started_at"].as_str().unwrap() < stats["finished_at"].as_str().unwrap());
    assert!(stats["phases_us"]["run"].as_u64().unwrap() > 1000, "{stats}");
}

fn stats_of_an_earlier_run_never_stand_for_this_ones(bed: &Bed) {
    let file = bed.path("stats.json");
    let rootfs = fixture("busybox");
    let (good, store) = (rootfs.to_str().unwrap(), bed.path("store"));
    let (stats, store) = (["--stats", file.to_str().unwrap()], store.to_str().unwrap());
    for (args, found) in [
        (&["--rootfs", good, "--", "true"][..], "exit_code"),
        (&["--image-dir", store, "--pull", "never", "no/such"], "error"),
        (&["--rootfs", good, "--", "true"], "exit_code"),
        (&["--rootfs", "/no/such", "--", "true"], "error"),
        (&["--rootfs", good, "--user", "nobody-here", "--", "true"], "error"),
    ] {
        bed.command("run", stats.iter().chain(args)).output().unwrap();
        let object: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        let keys = ["exit_code", "error"].map(|key| object.get(key).is_some());
        assert_eq!(keys, [found == "exit_code", found == "error"], "{args:?}: {object}");
    }
}

fn help_and_version_are_answers(bed: &Bed) {
    for args in [&["--help"][..], &["--version"], &["run", "--help"]] {
        let ran = Ran::from(Command::new(PROGRAM).args(args).output().unwrap());
        assert!(
            ran.code == Some(0) && ran.out.contains("hotcell") && ran.err.is_empty(),
            "{ran:?}"
        );
    }
    let doctor = Ran::from(bed.command("doctor", ["--format", "json"]).output().unwrap());
    let found: serde_json::Value = serde_json::from_str(&doctor.out).unwrap();
    assert_eq!((doctor.code, &found["can_run"]), (Some(0), &true.into()), "{doctor:?}");
}

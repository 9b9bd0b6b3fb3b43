//! podman: containers from start to end, their streams and their codes.

use super::Podman;
use crate::bed::Bed;
use crate::clients::stage::wait_for;
use crate::clients::{SIZE, good};
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(output_and_exit_codes_come_back, Cells, Busybox, Podman),
        test!(commands_that_cannot_run_say_why, Cells, Busybox, Podman),
        test!(streams_go_through, Cells, Busybox, Podman),
        test!(a_terminal_is_one_inside, Cells, Busybox, Podman),
        test!(signals_stop_and_kill, Cells, Busybox, Podman),
        test!(pausing_holds_everything, Cells, Busybox, Podman),
        test!(an_init_reaps_and_forwards, Cells, Busybox, Podman),
        test!(a_container_is_created_then_started, Cells, Busybox, Podman),
        test!(restarting_gives_a_fresh_process, Cells, Busybox, Podman),
        test!(looking_from_outside, Cells, Busybox, Podman),
        test!(files_go_in_and_out, Cells, Busybox, Podman),
        test!(health_is_asked_inside, Cells, Busybox, Podman),
        test!(hooks_run_at_their_points, Cells, Busybox, Podman),
        test!(a_checkpoint_is_refused_in_words, Cells, Busybox, Podman),
        test!(ten_at_once, Cells, Busybox, Podman),
    ]
}

fn output_and_exit_codes_come_back(bed: &Bed) {
    Podman::with(bed, |podman| {
        let ran = podman.run(&[], "echo out; echo err >&2; exit 7");
        assert_eq!((ran.code, &*ran.out, &*ran.err), (Some(7), "out\n", "err\n"));
        assert_eq!(podman.run(&[], "true").code, Some(0));
        // PID 1 itself can't be killed from inside without a handler: a child is.
        assert_eq!(podman.run(&[], "sh -c 'kill -9 $$'; exit $?").code, Some(137));
        let ran = podman.run(
            &["-e", "GREETING=hi", "-w", "/tmp", "-u", "12:34"],
            "echo $GREETING $(pwd) $(id -u) $(id -g)",
        );
        assert_eq!(good(ran), "hi /tmp 12 34");
        let ran = podman.run(&["--hostname", "elsewhere", "--group-add", "77"], "hostname; id -G");
        assert_eq!(good(ran), "elsewhere\n0 77");
    });
}

fn commands_that_cannot_run_say_why(bed: &Bed) {
    Podman::with(bed, |podman| {
        let missing = podman.call(&podman.words(&["run", "--rm"], &[], &["no-such-command"]));
        assert_eq!(missing.code, Some(127), "{missing:?}");
        assert!(missing.err.contains("no-such-command"), "{missing:?}");
        let refused = podman.call(&podman.words(&["run", "--rm"], &[], &["/etc/passwd"]));
        assert_eq!(refused.code, Some(126), "{refused:?}");
        assert!(refused.err.to_lowercase().contains("permission denied"), "{refused:?}");
        let nowhere = podman.run(&["-w", "/etc/passwd"], "true");
        assert!(matches!(nowhere.code, Some(126 | 127)), "{nowhere:?}");
    });
}

fn streams_go_through(bed: &Bed) {
    Podman::with(bed, |podman| {
        let cat = podman.words(&["run", "--rm"], &["--interactive"], &["cat"]);
        assert_eq!(good(podman.fed(&cat, "one\ntwo\n")), "one\ntwo");
        let count = podman.words(&["run", "--rm"], &["--interactive"], &["wc", "-c"]);
        assert_eq!(good(podman.fed(&count, &"x".repeat(300_000))), "300000");
        let much = podman.run(&[], "head -c 1000000 /dev/zero | tr '\\0' y");
        assert_eq!(good(much).len(), 1_000_000);
        podman.start("talker", &[], "echo first; echo second >&2; exit 4");
        assert_eq!(podman.good(&["wait", "talker"]), "4");
        let logs = podman.call(&["logs", "talker"]);
        assert_eq!((&*logs.out, &*logs.err), ("first\n", "second\n"));
        podman.start("waiter", &["--interactive"], "read -r line; echo got $line; exit 5");
        let attached = podman.fed(&["attach", "waiter"], "a line\n");
        assert!(attached.out.starts_with("got a line\n"), "{attached:?}");
        assert_eq!(podman.good(&["wait", "waiter"]), "5");
    });
}

fn a_terminal_is_one_inside(bed: &Bed) {
    Podman::with(bed, |podman| {
        let tty = "test -t 0 && test -t 1 && tty && stat -c %u:%a $(tty)";
        let run = podman.words(&["run", "--rm"], &["--tty", "--interactive"], &["sh", "-c", tty]);
        let ran = podman.on_terminal(&run);
        assert_eq!((ran.code, &*ran.out), (Some(0), "/dev/pts/0\n0:620\n"), "{ran:?}");
        let run = podman.words(&["run", "--rm"], &["--tty", "--interactive"], &["sh", "-c", SIZE]);
        let ran = podman.on_terminal(&run);
        assert_eq!((ran.code, &*ran.out), (Some(3), "33 91\n/dev/pts/0\n"), "{ran:?}");
        let user = podman.words(
            &["run", "--rm"],
            &["-t", "-u", "1000"],
            &["sh", "-c", "echo x >$(tty); stat -c %u $(tty)"],
        );
        assert_eq!(podman.on_terminal(&user).out, "x\n1000\n");
        podman.start("room", &["--tty"], "sleep 1000");
        let ran =
            podman.on_terminal(&["exec", "-it", "room", "sh", "-c", "test -t 0 && tty; exit 3"]);
        assert_eq!((ran.code, &*ran.out), (Some(3), "/dev/pts/1\n"), "{ran:?}");
    });
}

fn signals_stop_and_kill(bed: &Bed) {
    Podman::with(bed, |podman| {
        let trap =
            "trap 'exit 9' TERM; trap 'echo usr' USR1; echo ready; while :; do sleep 0.1; done";
        let ready = |name: &str| podman.good(&["logs", name]).contains("ready");
        podman.start("polite", &[], trap);
        wait_for("the trap is set", || ready("polite"));
        podman.good(&["kill", "--signal", "USR1", "polite"]);
        wait_for("the signal arrived", || podman.good(&["logs", "polite"]).contains("usr"));
        podman.good(&["stop", "--time", "20", "polite"]);
        assert_eq!(podman.inspect("polite", "{{.State.ExitCode}} {{.State.Running}}"), "9 false");
        podman.start("deaf", &[], "trap '' TERM; echo ready; while :; do sleep 0.1; done");
        wait_for("the trap is set", || ready("deaf"));
        podman.call(&["stop", "--time", "1", "deaf"]);
        assert_eq!(podman.inspect("deaf", "{{.State.ExitCode}}"), "137");
        podman.start("victim", &[], "sleep 1000 & sleep 1000");
        podman.good(&["kill", "victim"]);
        assert_eq!(podman.good(&["wait", "victim"]), "137");
        podman.start("removed", &[], "sleep 1000 & sleep 1000");
        podman.good(&["rm", "--force", "--time", "0", "removed"]);
        assert_ne!(podman.call(&["inspect", "removed"]).code, Some(0));
        let again = podman.call(&["kill", "victim"]);
        assert!(again.code != Some(0) && again.err.contains("running"), "{again:?}");
    });
}

fn pausing_holds_everything(bed: &Bed) {
    Podman::with(bed, |podman| {
        podman.start("clock", &[], "i=0; while :; do i=$((i+1)); echo $i >/tick; sleep 0.05; done");
        let tick = || podman.good(&["cp", "clock:/tick", "-"]);
        podman.good(&["pause", "clock"]);
        assert_eq!(podman.inspect("clock", "{{.State.Status}}"), "paused");
        let held = tick();
        assert_eq!(held, tick());
        assert_ne!(podman.exec("clock", &[], "true").code, Some(0));
        podman.good(&["unpause", "clock"]);
        assert_eq!(podman.inspect("clock", "{{.State.Status}}"), "running");
        wait_for("it goes on", || tick() != held);
        podman.good(&["pause", "clock"]);
        podman.good(&["rm", "--force", "--time", "0", "clock"]);
    });
}

fn an_init_reaps_and_forwards(bed: &Bed) {
    Podman::with(bed, |podman| {
        let first = good(podman.run(&["--init"], "cat /proc/1/comm; echo $$"));
        let (init, shell) = first.split_once('\n').unwrap();
        assert!(init == "podman-init" && shell != "1", "{first}");
        let orphan = "(sleep 0.1 &); sleep 0.5; grep -l '^State:.Z' /proc/[0-9]*/status; echo done";
        assert_eq!(good(podman.run(&["--init"], orphan)), "done");
        podman.start("killed", &["--init"], "kill -9 $$");
        assert_eq!(podman.good(&["wait", "killed"]), "137");
    });
}

fn a_container_is_created_then_started(bed: &Bed) {
    Podman::with(bed, |podman| {
        podman.good(&podman.words(
            &["create", "--name", "later"],
            &[],
            &["sh", "-c", "echo begun; sleep 1000"],
        ));
        assert_eq!(podman.inspect("later", "{{.State.Status}}"), "created");
        podman.good(&["init", "later"]);
        assert_eq!(podman.inspect("later", "{{.State.Status}}"), "initialized");
        assert_eq!(podman.good(&["logs", "later"]), "");
        podman.good(&["start", "later"]);
        wait_for("it begins", || podman.good(&["logs", "later"]) == "begun");
        podman.good(&podman.words(&["create", "--name", "never"], &[], &["true"]));
        podman.good(&["init", "never"]);
        podman.good(&["rm", "--force", "--time", "0", "never"]);
    });
}

fn restarting_gives_a_fresh_process(bed: &Bed) {
    Podman::with(bed, |podman| {
        podman.start("again", &[], "echo up; sleep 1000");
        let first = podman.inspect("again", "{{.State.Pid}}");
        podman.good(&["restart", "--time", "0", "again"]);
        assert_ne!(first, podman.inspect("again", "{{.State.Pid}}"));
        wait_for("it spoke twice", || podman.good(&["logs", "again"]) == "up\nup");
        podman.good(&["stop", "--time", "0", "again"]);
        podman.good(&["start", "again"]);
        assert_eq!(podman.inspect("again", "{{.State.Status}}"), "running");
        podman.start("stubborn", &["--restart", "on-failure:2"], "echo x >>/count; exit 1");
        wait_for("it gave up", || {
            podman.inspect("stubborn", "{{.State.Status}} {{.RestartCount}}") == "exited 2"
        });
        assert_eq!(podman.good(&["cp", "stubborn:/count", "-"]).matches("x\n").count(), 3);
    });
}

fn looking_from_outside(bed: &Bed) {
    Podman::with(bed, |podman| {
        podman.start("seen", &["-m", "64m"], "sleep 1000 & sleep 1001");
        let top = podman.good(&["top", "seen", "args"]);
        assert!(top.contains("sleep 1000") && top.contains("sleep 1001"), "{top}");
        let stats = podman.good(&[
            "stats",
            "--no-stream",
            "--format",
            "{{.Name}} {{.PIDs}} {{.MemUsage}}",
            "seen",
        ]);
        assert!(stats.starts_with("seen 2 ") && stats.ends_with("/ 67.11MB"), "{stats}");
        assert!(podman.good(&["ps", "--format", "{{.Names}} {{.Status}}"]).starts_with("seen Up"));
        let pid = podman.inspect("seen", "{{.State.Pid}}");
        let name = podman.stage().sh(&format!("tr '\\0' ' ' </proc/{pid}/cmdline"));
        assert_eq!(good(name), "sleep 1001");
        // The exit of a container that nobody watches is recorded too.
        podman.start("brief", &[], "sleep 0.3; exit 6");
        wait_for("it ended", || {
            podman.inspect("brief", "{{.State.Status}} {{.State.ExitCode}}") == "exited 6"
        });
    });
}

fn files_go_in_and_out(bed: &Bed) {
    Podman::with(bed, |podman| {
        let file = bed.path("letter");
        std::fs::write(&file, "hello").unwrap();
        podman.start("box", &[], "echo inside >/made; sleep 1000");
        podman.good(&["cp", file.to_str().unwrap(), "box:/tmp/letter"]);
        assert_eq!(good(podman.exec("box", &[], "cat /tmp/letter")), "hello");
        wait_for("the file is there", || podman.exec("box", &[], "cat /made").out == "inside\n");
        let back = bed.path("back");
        podman.good(&["cp", "box:/made", back.to_str().unwrap()]);
        assert_eq!(std::fs::read_to_string(back).unwrap(), "inside\n");
        assert!(podman.good(&["diff", "box"]).contains("A /made"));
        podman.good(&["commit", "--quiet", "box", "copy:local"]);
        let run = podman.words(&["run", "--rm"], &[], &[]);
        let run: Vec<_> = run
            .into_iter()
            .map(|word| if word == "busybox:local" { "copy:local" } else { word })
            .collect();
        assert_eq!(
            podman.good(&[&run[..], &["cat", "/made", "/tmp/letter"]].concat()),
            "inside\nhello"
        );
    });
}

fn health_is_asked_inside(bed: &Bed) {
    Podman::with(bed, |podman| {
        let flags = [
            "--health-cmd",
            "test -e /well",
            "--health-interval",
            "disable",
            "--health-retries",
            "1",
        ];
        podman.start("patient", &flags, "sleep 1000");
        assert_eq!(podman.call(&["healthcheck", "run", "patient"]).code, Some(1));
        good(podman.exec("patient", &[], "touch /well"));
        podman.good(&["healthcheck", "run", "patient"]);
        assert_eq!(podman.inspect("patient", "{{.State.Health.Status}}"), "healthy");
    });
}

fn hooks_run_at_their_points(bed: &Bed) {
    Podman::with(bed, |podman| {
        let (dir, record) = (bed.path("hooks"), bed.path("record"));
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(&record, "").unwrap();
        let stages = [
            "prestart",
            "createRuntime",
            "createContainer",
            "startContainer",
            "poststart",
            "poststop",
        ];
        for stage in stages {
            // Each is given the state on its standard input.
            let script = format!("grep -q '\"ociVersion\"' && echo {stage} >>{}", record.display());
            let hook = serde_json::json!({
                "version": "1.0.0",
                "hook": { "path": "/bin/sh", "args": ["sh", "-c", script] },
                "when": { "always": true },
                "stages": [stage],
            });
            std::fs::write(dir.join(format!("{stage}.json")), hook.to_string()).unwrap();
        }
        let global = ["--hooks-dir", dir.to_str().unwrap()];
        // Where the one that runs in the root finds it.
        let volume = format!("{0}:{0}", record.display());
        let run = podman.words(&["run", "--rm"], &["--volume", &volume], &["echo", "between"]);
        assert_eq!(podman.good(&[&global[..], &run].concat()), "between");
        let told = || std::fs::read_to_string(&record).unwrap();
        wait_for("the last hook ran", || told().ends_with("poststop\n"));
        assert_eq!(told().lines().collect::<Vec<_>>(), stages);
    });
}

fn a_checkpoint_is_refused_in_words(bed: &Bed) {
    Podman::with(bed, |podman| {
        podman.start("still", &[], "sleep 1000");
        let ran = podman.call(&["container", "checkpoint", "still"]);
        assert!(ran.code != Some(0) && ran.err.to_lowercase().contains("checkpoint"), "{ran:?}");
        assert_eq!(podman.inspect("still", "{{.State.Status}}"), "running");
    });
}

fn ten_at_once(bed: &Bed) {
    Podman::with(bed, |podman| {
        std::thread::scope(|scope| {
            let runs = (0..10).map(|number| {
                scope.spawn(move || good(podman.run(&["-m", "32m"], &format!("echo {number}"))))
            });
            let runs: Vec<_> = runs.collect();
            for (number, run) in runs.into_iter().enumerate() {
                assert_eq!(run.join().unwrap(), number.to_string());
            }
        });
    });
}

//! dockerd: containers from start to end, their streams and their codes.

use super::Docker;
use crate::bed::Bed;
use crate::clients::stage::wait_for;
use crate::clients::{SIZE, fed, good, on_terminal};
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(output_and_exit_codes_come_back, Cells, Busybox, Dockerd),
        test!(a_terminal_is_one_inside, Cells, Busybox, Dockerd),
        test!(a_process_joins_a_running_container, Cells, Busybox, Dockerd),
        test!(signals_stop_and_kill, Cells, Busybox, Dockerd),
        test!(pausing_holds_everything, Cells, Busybox, Dockerd),
        test!(restarting_after_failures, Cells, Busybox, Dockerd),
        test!(health_is_asked_inside, Cells, Busybox, Dockerd),
        test!(a_checkpoint_is_refused_in_words, Cells, Busybox, Dockerd),
    ]
}

fn output_and_exit_codes_come_back(bed: &Bed) {
    Docker::with(bed, &[], |docker| {
        let ran = docker.run(
            &["-e", "A=b", "-w", "/tmp", "-u", "12:34"],
            "echo $A $(pwd) $(id -u); echo err >&2; exit 7",
        );
        assert_eq!((ran.code, &*ran.out, &*ran.err), (Some(7), "b /tmp 12\n", "err\n"));
        assert_eq!(docker.run(&[], "sh -c 'kill -9 $$'; exit $?").code, Some(137));
        let missing =
            docker.call(&["run", "--rm", "--network", "none", "busybox:local", "no-such-command"]);
        assert!(
            missing.code == Some(127) && missing.err.contains("no-such-command"),
            "{missing:?}"
        );
        let refused =
            docker.call(&["run", "--rm", "--network", "none", "busybox:local", "/etc/passwd"]);
        assert_eq!(refused.code, Some(126), "{refused:?}");
        let count = docker.words(&["run", "--rm", "--interactive"], &[], "wc -c");
        assert_eq!(good(fed(docker.command(&count), &"x".repeat(300_000))), "300000");
        docker.start("talker", &[], "echo first; echo second >&2; exit 4");
        assert_eq!(docker.good(&["wait", "talker"]), "4");
        let logs = docker.call(&["logs", "talker"]);
        assert_eq!((&*logs.out, &*logs.err), ("first\n", "second\n"));
    });
}

fn a_terminal_is_one_inside(bed: &Bed) {
    Docker::with(bed, &[], |docker| {
        let run = docker.words(&["run", "--rm"], &["--tty", "--interactive"], SIZE);
        let ran = on_terminal(&docker.command(&run));
        assert_eq!((ran.code, &*ran.out), (Some(3), "33 91\n/dev/pts/0\n"), "{ran:?}");
        docker.start("room", &["--tty"], "sleep 1000");
        let exec = ["exec", "-it", "room", "sh", "-c", "test -t 0 && tty; exit 4"];
        let ran = on_terminal(&docker.command(&exec));
        assert_eq!((ran.code, &*ran.out), (Some(4), "/dev/pts/1\n"), "{ran:?}");
    });
}

fn a_process_joins_a_running_container(bed: &Bed) {
    Docker::with(bed, &[], |docker| {
        docker.start("host", &["-e", "FIRST=1"], "sleep 1000");
        let ran = docker.exec(
            "host",
            &["-u", "12:34", "-w", "/tmp", "-e", "SECOND=2"],
            "echo $(id -u) $(id -g) $(pwd) $FIRST $SECOND; exit 8",
        );
        assert_eq!((ran.code, &*ran.out), (Some(8), "12 34 /tmp 1 2\n"), "{ran:?}");
        let count = ["exec", "--interactive", "host", "wc", "-c"];
        assert_eq!(good(fed(docker.command(&count), &"x".repeat(100_000))), "100000");
        docker.good(&["exec", "--detach", "host", "sleep", "999"]);
        let top = || docker.good(&["top", "host", "-o", "pid,args"]);
        wait_for("both are there", || top().contains("sleep 1000") && top().contains("sleep 999"));
        let missing = docker.call(&["exec", "host", "no-such-command"]);
        assert!(matches!(missing.code, Some(126 | 127)), "{missing:?}");
        let own =
            "grep -E 'Cap(Prm|Eff|Bnd)|NoNewPrivs|Seccomp:' /proc/$1/status; cat /proc/$1/cgroup";
        let of = |pid| good(docker.exec("host", &[], &own.replace("$1", pid)));
        assert_eq!(of("self"), of("1"));
    });
}

fn signals_stop_and_kill(bed: &Bed) {
    Docker::with(bed, &[], |docker| {
        let ready = |name: &str| docker.good(&["logs", name]).contains("ready");
        docker.start(
            "polite",
            &[],
            "trap 'exit 9' TERM; trap 'echo usr' USR1; echo ready; while :; do sleep 0.1; done",
        );
        wait_for("the trap is set", || ready("polite"));
        docker.good(&["kill", "--signal", "USR1", "polite"]);
        wait_for("the signal arrived", || docker.good(&["logs", "polite"]).contains("usr"));
        docker.good(&["stop", "--time", "20", "polite"]);
        assert_eq!(docker.inspect("polite", "{{.State.ExitCode}}"), "9");
        docker.start("deaf", &[], "trap '' TERM; echo ready; while :; do sleep 0.1; done");
        wait_for("the trap is set", || ready("deaf"));
        docker.good(&["stop", "--time", "1", "deaf"]);
        assert_eq!(docker.inspect("deaf", "{{.State.ExitCode}}"), "137");
        docker.start("victim", &[], "sleep 1000 & sleep 1000");
        docker.good(&["kill", "--signal", "KILL", "victim"]);
        assert_eq!(docker.good(&["wait", "victim"]), "137");
        docker.good(&["start", "victim"]);
        assert_eq!(docker.inspect("victim", "{{.State.Status}}"), "running");
        docker.good(&["restart", "--time", "0", "victim"]);
        docker.good(&["rm", "--force", "victim"]);
        assert_ne!(docker.call(&["inspect", "victim"]).code, Some(0));
        let init = good(docker.run(&["--init"], "cat /proc/1/comm; sh -c 'kill -9 $$'; echo $?"));
        assert_eq!(init, "docker-init\n137");
    });
}

fn pausing_holds_everything(bed: &Bed) {
    Docker::with(bed, &[], |docker| {
        docker.start("clock", &[], "while :; do echo tick; sleep 0.05; done");
        docker.good(&["pause", "clock"]);
        assert_eq!(docker.inspect("clock", "{{.State.Status}}"), "paused");
        let refused = docker.exec("clock", &[], "true");
        assert!(refused.code != Some(0) && refused.err.contains("paused"), "{refused:?}");
        let ticks = || docker.good(&["logs", "clock"]).lines().count();
        // What was written before may still be on its way.
        std::thread::sleep(std::time::Duration::from_millis(300));
        let held = ticks();
        std::thread::sleep(std::time::Duration::from_millis(300));
        assert_eq!(held, ticks());
        docker.good(&["unpause", "clock"]);
        wait_for("it goes on", || ticks() > held);
    });
}

fn restarting_after_failures(bed: &Bed) {
    Docker::with(bed, &[], |docker| {
        docker.start("stubborn", &["--restart", "on-failure:2"], "echo again; exit 1");
        let state = "{{.State.Status}} {{.RestartCount}} {{.State.ExitCode}}";
        wait_for("it gave up", || docker.inspect("stubborn", state) == "exited 2 1");
        assert_eq!(docker.good(&["logs", "stubborn"]), "again\nagain\nagain");
    });
}

fn health_is_asked_inside(bed: &Bed) {
    Docker::with(bed, &[], |docker| {
        let flags = [
            "--health-cmd",
            "test -e /well",
            "--health-interval",
            "300ms",
            "--health-retries",
            "1",
        ];
        docker.start("patient", &flags, "sleep 1000");
        let is = |state: &str| docker.inspect("patient", "{{.State.Health.Status}}") == state;
        wait_for("it is ill", || is("unhealthy"));
        good(docker.exec("patient", &[], "touch /well"));
        wait_for("it is well", || is("healthy"));
    });
}

fn a_checkpoint_is_refused_in_words(bed: &Bed) {
    Docker::with(bed, &["--experimental"], |docker| {
        docker.start("still", &[], "sleep 1000");
        let ran = docker.call(&["checkpoint", "create", "still", "point"]);
        let words = ran.err.to_lowercase();
        assert!(
            ran.code != Some(0) && (words.contains("checkpoint") || words.contains("criu")),
            "{ran:?}"
        );
        assert_eq!(docker.inspect("still", "{{.State.Status}}"), "running");
    });
}

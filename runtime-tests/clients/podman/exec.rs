//! podman: further processes in a running container.

use super::Podman;
use crate::bed::Bed;
use crate::clients::good;
use crate::clients::stage::wait_for;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(a_process_joins_a_running_container, Cells, Busybox, Podman),
        test!(a_joining_process_is_held_like_the_first, Cells, Busybox, Podman),
        test!(a_process_that_cannot_join_says_why, Cells, Busybox, Podman),
        test!(many_processes_join_at_once, Cells, Busybox, Podman),
    ]
}

fn a_process_joins_a_running_container(bed: &Bed) {
    Podman::with(bed, |podman| {
        podman.start("host", &["-e", "FIRST=1"], "echo mine >/mine; sleep 1000");
        let ran = podman.exec("host", &[], "cat /mine; echo $FIRST; echo err >&2; exit 8");
        assert_eq!((ran.code, &*ran.out, &*ran.err), (Some(8), "mine\n1\n", "err\n"));
        let flags = ["-u", "12:34", "-w", "/tmp", "-e", "SECOND=2"];
        let ran = podman.exec("host", &flags, "echo $(id -u) $(id -g) $(pwd) $FIRST $SECOND");
        assert_eq!(good(ran), "12 34 /tmp 1 2");
        let fed = podman.fed(&["exec", "-i", "host", "wc", "-c"], &"x".repeat(100_000));
        assert_eq!(good(fed), "100000");
        podman.good(&["exec", "--detach", "host", "sh", "-c", "echo later >/later; sleep 999"]);
        wait_for("it wrote", || podman.exec("host", &[], "cat /later").out == "later\n");
        let seen = podman.good(&["top", "host", "args"]);
        assert!(seen.contains("sleep 999"), "{seen}");
        let killed = podman.exec("host", &[], "kill -9 $$");
        assert_eq!(killed.code, Some(137), "{killed:?}");
        // It shares the first one's view of processes.
        assert!(podman.exec("host", &[], "ps").out.contains("sleep 1000"));
    });
}

fn a_joining_process_is_held_like_the_first(bed: &Bed) {
    Podman::with(bed, |podman| {
        let flags =
            ["--cap-drop", "all", "--security-opt", "no-new-privileges", "--pids-limit", "40"];
        podman.start("host", &flags, "sleep 1000");
        let own = "cat /proc/self/cgroup; grep -E 'Cap(Prm|Eff|Bnd)|NoNewPrivs|Seccomp:' /proc/self/status";
        let first =
            "cat /proc/1/cgroup; grep -E 'Cap(Prm|Eff|Bnd)|NoNewPrivs|Seccomp:' /proc/1/status";
        assert_eq!(good(podman.exec("host", &[], own)), good(podman.exec("host", &[], first)));
        let names =
            "for name in cgroup ipc mnt net pid user uts; do readlink -f /proc/$1/ns/$name; done";
        let names = |pid: &str| good(podman.exec("host", &[], &names.replace("$1", pid)));
        assert_eq!(names("self"), names("1"));
        // The engine asks for all of it for this one alone.
        let privileged = podman.exec("host", &["--privileged"], "grep CapEff /proc/self/status");
        assert!(!good(privileged).ends_with("0000000000000000"));
        let bomb = podman.exec("host", &[], "for i in $(seq 60); do sleep 5 & done; wait");
        assert!(bomb.code != Some(0) && bomb.err.contains("fork"), "{bomb:?}");
    });
}

fn a_process_that_cannot_join_says_why(bed: &Bed) {
    Podman::with(bed, |podman| {
        podman.start("host", &[], "sleep 1000");
        let missing = podman.call(&["exec", "host", "no-such-command"]);
        assert_eq!(missing.code, Some(127), "{missing:?}");
        assert!(missing.err.contains("no-such-command"), "{missing:?}");
        let refused = podman.call(&["exec", "host", "/etc/passwd"]);
        assert_eq!(refused.code, Some(126), "{refused:?}");
        podman.good(&["stop", "--time", "0", "host"]);
        let late = podman.call(&["exec", "host", "true"]);
        assert!(late.code != Some(0) && late.err.contains("running"), "{late:?}");
    });
}

fn many_processes_join_at_once(bed: &Bed) {
    Podman::with(bed, |podman| {
        podman.start("host", &[], "sleep 1000");
        std::thread::scope(|scope| {
            let runs = (0..10).map(|number| {
                scope.spawn(move || podman.exec("host", &[], &format!("exit {number}")).code)
            });
            let runs: Vec<_> = runs.collect();
            let codes: Vec<_> = runs.into_iter().map(|run| run.join().unwrap().unwrap()).collect();
            assert_eq!(codes, (0..10).collect::<Vec<_>>());
        });
    });
}

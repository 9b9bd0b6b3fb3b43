//! dockerd: many containers, a daemon that is started anew beneath them, and a swarm.

use super::Docker;
use crate::bed::Bed;
use crate::clients::good;
use crate::clients::stage::wait_for;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(thirty_at_once, Cells, Busybox, Dockerd),
        test!(containers_outlive_the_daemon, Cells, Busybox, Dockerd),
        test!(a_service_keeps_its_replicas, Cells, Busybox, Dockerd),
    ]
}

fn thirty_at_once(bed: &Bed) {
    Docker::with(bed, &[], |docker| {
        let docker = &*docker;
        std::thread::scope(|scope| {
            for number in 0..30 {
                scope.spawn(move || {
                    docker.start(&format!("cell{number}"), &["-m", "16m"], "echo up; sleep 1000");
                });
            }
        });
        for number in 0..30 {
            wait_for("it is up", || docker.good(&["logs", &format!("cell{number}")]) == "up");
        }
        let names: Vec<_> = (0..30).map(|number| format!("cell{number}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        docker.good(&[&["kill"], &names[..]].concat());
        let codes = docker.good(&[&["wait"], &names[..]].concat());
        assert!(codes.lines().count() == 30 && codes.lines().all(|code| code == "137"), "{codes}");
    });
}

fn containers_outlive_the_daemon(bed: &Bed) {
    Docker::with(bed, &["--live-restore"], |docker| {
        docker.start(
            "steady",
            &[],
            "i=0; while :; do i=$((i+1)); echo $i >/tick; sleep 0.05; done",
        );
        docker.start("brief", &[], "until [ -e /go ]; do sleep 0.05; done; exit 6");
        let pid = docker.inspect("steady", "{{.State.Pid}}");
        let root = format!("/proc/{}/root", docker.inspect("brief", "{{.State.Pid}}"));
        docker.stop_daemon();
        let tick = || docker.stage().sh(&format!("cat /proc/{pid}/root/tick")).out;
        let before = tick();
        wait_for("it lives on", || tick() != before);
        // One ends while nobody is there.
        good(docker.stage().sh(&format!("touch {root}/go")));
        docker.start_daemon();
        assert_eq!(
            docker.inspect("steady", "{{.State.Status}} {{.State.Pid}}"),
            format!("running {pid}")
        );
        wait_for("its end is known", || {
            docker.inspect("brief", "{{.State.Status}} {{.State.ExitCode}}") == "exited 6"
        });
        assert_eq!(good(docker.exec("steady", &[], "echo here")), "here");
        docker.good(&["stop", "--time", "0", "steady"]);
    });
}

fn a_service_keeps_its_replicas(bed: &Bed) {
    Docker::with(bed, &[], |docker| {
        docker.good(&[
            "swarm",
            "init",
            "--advertise-addr",
            "127.0.0.1",
            "--listen-addr",
            "127.0.0.1:2377",
        ]);
        let create = [
            "service",
            "create",
            "--name",
            "trio",
            "--detach",
            "--replicas",
            "3",
            "--network",
            "host",
            "--no-resolve-image",
            "busybox:local",
            "sleep",
            "1000",
        ];
        docker.good(&create);
        let tasks = || docker.good(&["ps", "--quiet"]);
        wait_for("three run", || tasks().lines().count() == 3);
        // One that dies is replaced.
        let first = tasks().lines().next().unwrap().to_owned();
        docker.good(&["kill", &first]);
        wait_for("three run again", || !tasks().contains(&first) && tasks().lines().count() == 3);
        docker.good(&["service", "scale", "--detach", "trio=1"]);
        wait_for("one runs", || tasks().lines().count() == 1);
        docker.good(&["service", "rm", "trio"]);
        wait_for("none is left", || tasks().is_empty());
        docker.good(&["swarm", "leave", "--force"]);
    });
}

//! podman: pods, whose containers join what an infra container holds.

use super::Podman;
use crate::bed::Bed;
use crate::clients::good;
use crate::{Test, test};

/// On hosts with cgroup v2 alone podman 4.3 denies every device in the cgroup that it makes for a pod
/// by itself, and no runtime's containers start in there.
pub fn tests() -> Vec<Test> {
    vec![
        test!(containers_of_a_pod_share_namespaces, Cells, Busybox, Podman, Hybrid),
        test!(a_pod_is_handled_as_one, Cells, Busybox, Podman, Hybrid),
    ]
}

fn pod(podman: &Podman, share: &str) {
    let parent = podman.stage().cgroup_parent();
    let create = ["pod", "create", "--name", "pod", "--network", "none", "--share", share];
    podman.good(&[&create[..], &["--cgroup-parent", &parent]].concat());
    podman.start("one", &["--pod=pod"], "sleep 1000");
    podman.start("two", &["--pod=pod"], "sleep 1000");
}

fn containers_of_a_pod_share_namespaces(bed: &Bed) {
    Podman::with(bed, |podman| {
        pod(podman, "ipc,net,uts,pid");
        let names =
            |of: &str| good(podman.exec(of, &[], "ls -l /proc/self/ns | sed -n 's/.*-> //p'"));
        let (one, two) = (names("one"), names("two"));
        let differ: Vec<_> = one.lines().filter(|name| !two.contains(*name)).collect();
        assert!(differ.len() == 1 && differ[0].starts_with("mnt:"), "{differ:?}");
        let seen = good(podman.exec("one", &[], "ps"));
        assert_eq!(seen.matches("sleep 1000").count(), 2, "{seen}");
        assert_eq!(good(podman.exec("two", &[], "hostname")), "pod");
        // One of them goes, the other stays.
        podman.good(&["rm", "--force", "--time", "0", "one"]);
        assert_eq!(good(podman.exec("two", &[], "echo here")), "here");
    });
}

fn a_pod_is_handled_as_one(bed: &Bed) {
    Podman::with(bed, |podman| {
        pod(podman, "ipc,net,uts");
        let states = || ["one", "two"].map(|name| podman.inspect(name, "{{.State.Status}}"));
        podman.good(&["pod", "pause", "pod"]);
        assert_eq!(states(), ["paused", "paused"]);
        podman.good(&["pod", "unpause", "pod"]);
        assert_eq!(states(), ["running", "running"]);
        podman.good(&["pod", "stop", "--time", "0", "pod"]);
        assert_eq!(states(), ["exited", "exited"]);
        podman.good(&["pod", "start", "pod"]);
        assert_eq!(states(), ["running", "running"]);
        podman.good(&["pod", "kill", "pod"]);
        podman.good(&["pod", "rm", "--force", "--time", "0", "pod"]);
        assert_eq!(podman.good(&["ps", "--all", "--quiet"]), "");
    });
}

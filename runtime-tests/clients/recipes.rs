//! The recipes of docs/engines.md, read out of the page and run as they stand there.

use std::path::Path;

use super::containerd::Containerd;
use super::docker::Docker;
use super::podman::Podman;
use super::stage::wait_for;
use super::{good, runtime};
use crate::bed::{Bed, Ran};
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(podman, Cells, Busybox, Podman),
        test!(containerd, Cells, Busybox, Containerd),
        test!(kubernetes_on_containerd, Containerd),
        test!(docker, Cells, Busybox, Dockerd),
        test!(docker_swarm, Cells, Busybox, Dockerd),
    ]
}

/// The first block in that language below that heading, with the runtime under test in its place.
fn recipe(heading: &str, language: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/engines.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let (_, block) = section.split_once(&format!("```{language}\n")).unwrap();
    let block = block.split_once("```").unwrap().0;
    block.replace("/usr/local/bin/hotcell-oci", runtime().to_str().unwrap())
}

fn podman(bed: &Bed) {
    Podman::configured(bed, &recipe("podman", "toml"), |podman| {
        podman.good(&["tag", "busybox:local", "docker.io/library/busybox:latest"]);
        assert_eq!(good(podman.shell(&recipe("podman", "sh"))), "hello");
    });
}

fn containerd(bed: &Bed) {
    Containerd::with(bed, |ctr, _| {
        let (local, latest) = ("busybox:local", "busybox:latest");
        let name = |tag| format!("docker.io/library/{tag}");
        ctr.good(&["images", "tag", &name(local), &name(latest)]);
        assert_eq!(good(ctr.shell(&recipe("containerd", "sh"))), "hello");
    });
}

fn kubernetes_on_containerd(bed: &Bed) {
    let config = bed.path("config.toml");
    std::fs::write(&config, recipe("Kubernetes on containerd", "toml")).unwrap();
    let mut dump = std::process::Command::new("containerd");
    dump.arg("--config").arg(config).args(["config", "dump"]);
    let dump = good(Ran::from(dump.output().unwrap()));
    let (_, section) = dump.split_once("containerd.runtimes.hotcell.options]\n").unwrap();
    let first = section.split("\n\n").next().unwrap();
    assert!(first.contains(&format!("BinaryName = {:?}", runtime())), "{first}");
}

fn docker(bed: &Bed) {
    Docker::configured(bed, &recipe("Docker", "json"), |docker| {
        docker.good(&["tag", "busybox:local", "busybox:latest"]);
        assert_eq!(good(docker.shell(&recipe("Docker", "sh"))), "hello");
    });
}

fn docker_swarm(bed: &Bed) {
    Docker::configured(bed, &recipe("Docker Swarm", "json"), |docker| {
        docker.good(&["tag", "busybox:local", "busybox:latest"]);
        let init = ["swarm", "init", "--advertise-addr", "127.0.0.1"];
        docker.good(&[&init[..], &["--listen-addr", "127.0.0.1:2377"]].concat());
        good(docker.shell(&recipe("Docker Swarm", "sh")));
        let tasks = || docker.good(&["ps", "--quiet"]);
        wait_for("three run", || tasks().lines().count() == 3);
        for task in tasks().lines() {
            assert_eq!(docker.inspect(task, "{{.HostConfig.Runtime}}"), "hotcell");
        }
        docker.good(&["service", "rm", "web"]);
        wait_for("none is left", || tasks().is_empty());
        docker.good(&["swarm", "leave", "--force"]);
    });
}

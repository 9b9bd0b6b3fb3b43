//! Bundles as runc, umoci and podman write them, run by the verbs of a runtime.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::podman::Podman;
use super::stage::{Stage, wait_for};
use super::{good, image, on_terminal, runtime};
use crate::bed::{Bed, Ran};
use crate::host::fixture;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(what_runc_writes, Cells, Busybox, Runc),
        test!(what_runc_writes_from_verb_to_verb, Cells, Busybox, Runc),
        test!(what_umoci_writes, Cells, Busybox, Umoci),
        test!(what_podman_writes, Cells, Busybox, Podman),
    ]
}

/// The verbs of the runtime, on a stage.
struct Verbs<'a>(&'a Stage);

impl Verbs<'_> {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.0.command(runtime());
        command.args(["--root", &self.0.path("runtime")]).args(args);
        command
    }

    fn call(&self, args: &[&str]) -> Ran {
        Ran::from(self.command(args).output().unwrap())
    }

    #[track_caller]
    fn good(&self, args: &[&str]) -> String {
        good(self.call(args))
    }

    fn state(&self, id: &str) -> Value {
        serde_json::from_str(&self.good(&["state", id])).unwrap()
    }
}

/// Changes a bundle's config.json.
fn edit(bundle: &Path, change: impl FnOnce(&mut Value)) {
    let path = bundle.join("config.json");
    let mut config = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut config);
    std::fs::write(path, config.to_string()).unwrap();
}

/// `runc spec` on a copy of the busybox root.
fn spec(bed: &Bed, stage: &Stage) -> PathBuf {
    let bundle = bed.path("bundle");
    std::fs::create_dir(&bundle).unwrap();
    let copy =
        Command::new("cp").arg("-a").arg(fixture("busybox")).arg(bundle.join("rootfs")).status();
    assert!(copy.unwrap().success());
    good(Ran::from(Command::new("runc").arg("spec").current_dir(&bundle).output().unwrap()));
    edit(&bundle, |config| {
        config["linux"]["cgroupsPath"] = format!("{}/spec", stage.cgroup_parent()).into();
        // Debian's runc asks for more descriptors than may be had without CAP_SYS_RESOURCE.
        config["process"]["rlimits"] = serde_json::json!([]);
    });
    bundle
}

fn what_runc_writes(bed: &Bed) {
    let stage = Stage::set_up(bed, "", &[]);
    let bundle = spec(bed, &stage);
    let path = bundle.to_str().unwrap();
    edit(&bundle, |config| {
        config["process"]["args"] = serde_json::json!(["sh", "-c", "tty; exit 3"])
    });
    let verbs = Verbs(&stage);
    let ran = on_terminal(&verbs.command(&["run", "--bundle", path, "spec"]));
    assert_eq!((ran.code, &*ran.out), (Some(3), "/dev/pts/0\n"), "{ran:?}");
    edit(&bundle, |config| {
        config["process"]["terminal"] = false.into();
        config["process"]["args"] =
            serde_json::json!(["sh", "-c", "hostname; touch /written; exit 4"]);
    });
    let ran = verbs.call(&["run", "--bundle", path, "spec"]);
    assert!(ran.code == Some(4) && ran.out == "runc\n" && ran.err.contains("Read-only"), "{ran:?}");
    stage.finish();
}

fn what_runc_writes_from_verb_to_verb(bed: &Bed) {
    let stage = Stage::set_up(bed, "", &[]);
    let bundle = spec(bed, &stage);
    let path = bundle.to_str().unwrap();
    edit(&bundle, |config| {
        config["process"]["terminal"] = false.into();
        config["process"]["args"] = serde_json::json!(["sleep", "1000"]);
        config["annotations"] = serde_json::json!({ "org.example": "kept" });
    });
    let verbs = Verbs(&stage);
    // Its streams are the container's: a pipe would stay open until the end.
    let create = verbs
        .command(&["create", "--bundle", path, "--pid-file", &stage.path("pid"), "spec"])
        .status();
    assert!(create.unwrap().success());
    let state = verbs.state("spec");
    assert_eq!(state["status"], "created");
    assert_eq!((&state["id"], &state["bundle"]), (&"spec".into(), &path.into()));
    assert_eq!(state["annotations"]["org.example"], "kept");
    assert!(state["ociVersion"].is_string());
    let pid = good(stage.sh(&format!("cat {}", stage.path("pid"))));
    assert_eq!(state["pid"].to_string(), pid);
    let second = verbs.call(&["create", "--bundle", path, "spec"]);
    assert!(second.code != Some(0) && second.err.contains("exist"), "{second:?}");
    verbs.good(&["start", "spec"]);
    assert_eq!(verbs.state("spec")["status"], "running");
    assert_ne!(verbs.call(&["start", "spec"]).code, Some(0));
    assert_ne!(verbs.call(&["delete", "spec"]).code, Some(0));
    let exec = verbs.call(&["exec", "spec", "sh", "-c", "hostname; exit 5"]);
    assert_eq!((exec.code, &*exec.out), (Some(5), "runc\n"), "{exec:?}");
    let pids: Vec<i64> =
        serde_json::from_str(&verbs.good(&["ps", "--format", "json", "spec"])).unwrap();
    assert_eq!(pids, [pid.parse::<i64>().unwrap()]);
    verbs.good(&["pause", "spec"]);
    assert_eq!(verbs.state("spec")["status"], "paused");
    verbs.good(&["resume", "spec"]);
    assert!(verbs.good(&["list", "--quiet"]).lines().any(|id| id == "spec"));
    verbs.good(&["kill", "spec", "KILL"]);
    wait_for("it is dead", || verbs.state("spec")["status"] == "stopped");
    assert_ne!(verbs.call(&["kill", "spec", "KILL"]).code, Some(0));
    verbs.good(&["delete", "spec"]);
    let gone = verbs.call(&["state", "spec"]);
    assert!(gone.code != Some(0) && gone.err.contains("not exist"), "{gone:?}");
    stage.finish();
}

fn what_umoci_writes(bed: &Bed) {
    let stage = Stage::set_up(bed, "", &[]);
    let (archive, layout, bundle) = (image::archive(bed), bed.path("layout"), bed.path("bundle"));
    let from = format!("docker-archive:{}", archive.display());
    let to = format!("oci:{}:local", layout.display());
    good(Ran::from(
        stage.command("skopeo").args(["--insecure-policy", "copy", &from, &to]).output().unwrap(),
    ));
    let image = format!("{}:local", layout.display());
    let mut unpack = stage.command("umoci");
    unpack.args(["unpack", "--image", &image, bundle.to_str().unwrap()]);
    good(Ran::from(unpack.output().unwrap()));
    edit(&bundle, |config| {
        config["linux"]["cgroupsPath"] = format!("{}/umoci", stage.cgroup_parent()).into();
        config["process"]["rlimits"] = serde_json::json!([]);
        config["process"]["terminal"] = false.into();
        config["process"]["args"] =
            serde_json::json!(["sh", "-c", "echo $PATH >/written; cat /written; exit 3"]);
    });
    let ran = Verbs(&stage).call(&["run", "--bundle", bundle.to_str().unwrap(), "umoci"]);
    assert!(ran.code == Some(3) && ran.out.contains("/bin"), "{ran:?}");
    stage.finish();
}

fn what_podman_writes(bed: &Bed) {
    Podman::with(bed, |podman| {
        let flags = ["--name", "model", "-v", "kept:/kept", "-m", "64m", "--hostname", "model"];
        podman.good(&podman.words(&["create"], &flags, &["true"]));
        podman.good(&["mount", "model"]);
        podman.good(&["init", "model"]);
        let path = podman.inspect("model", "{{.OCIConfigPath}}");
        let text = good(podman.stage().sh(&format!("cat {path}")));
        let bundle = bed.path("bundle");
        std::fs::create_dir(&bundle).unwrap();
        std::fs::write(bundle.join("config.json"), text).unwrap();
        edit(&bundle, |config| {
            config["linux"]["cgroupsPath"] =
                format!("{}/libpod-copy", podman.stage().cgroup_parent()).into();
            config["process"]["args"] =
                serde_json::json!(["sh", "-c", "hostname; ls -d /kept; exit 3"]);
            // podman's own, which would clean up after another container.
            config["hooks"] = serde_json::json!({});
        });
        let ran =
            Verbs(podman.stage()).call(&["run", "--bundle", bundle.to_str().unwrap(), "copy"]);
        assert_eq!((ran.code, &*ran.out), (Some(3), "model\n/kept\n"), "{ran:?}");
        podman.good(&["umount", "model"]);
    });
}

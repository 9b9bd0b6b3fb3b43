//! The busybox root as an image that every engine loads: an archive as `docker save` writes it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::bed::Bed;
use crate::host::fixture;

/// What engines call it, in full.
pub const IMAGE: &str = "docker.io/library/busybox:local";

/// Writes the archive into the bed.
pub fn archive(bed: &Bed) -> PathBuf {
    let dir = bed.path("image");
    std::fs::create_dir(&dir).unwrap();
    let layer = dir.join("layer.tar");
    tar(&fixture("busybox"), &layer, &["."]);
    let sum = Command::new("sha256sum").arg(&layer).output().unwrap();
    let sum = String::from_utf8(sum.stdout).unwrap();
    let digest = format!("sha256:{}", sum.split(' ').next().unwrap());
    let config = json!({
        "architecture": if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" },
        "os": "linux",
        "config": {
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "Cmd": ["sh"],
        },
        "rootfs": { "type": "layers", "diff_ids": [digest] },
        "history": [{ "created_by": "busybox" }],
    });
    let manifest =
        json!([{ "Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"] }]);
    std::fs::write(dir.join("config.json"), config.to_string()).unwrap();
    std::fs::write(dir.join("manifest.json"), manifest.to_string()).unwrap();
    let archive = bed.path("image.tar");
    tar(&dir, &archive, &["manifest.json", "config.json", "layer.tar"]);
    archive
}

fn tar(from: &Path, to: &Path, what: &[&str]) {
    let mut command = Command::new("tar");
    command.arg("-C").arg(from).args(["--numeric-owner", "-cf"]).arg(to).args(what);
    assert!(command.status().unwrap().success());
}

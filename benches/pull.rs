//! Pulling: an image from a registry on this host to a root file system, against other tools.

use std::path::Path;
use std::time::Duration;

use super::args::Args;
use super::bed::{Bed, fixture};
use super::distribution::Distribution;
use super::images::{PROGRAM, command, disk};
use super::measure::interleave;
use super::report::{Report, Row};

/// The names of the contenders.
const HOTCELL: &str = "hotcell pull";
const SKOPEO: &str = "skopeo copy + umoci unpack";
const PODMAN: &str = "podman pull";

/// Each has everything to fetch, every time. What is written is on the disk when hotcell is done; the others
/// leave that to the kernel.
pub(crate) fn compare(bed: &Bed, args: &Args, report: &mut Report) {
    let title = "pulling 200 MB in 6 layers of gzip";
    let row = || Row { group: "pull", name: title, spacing: Duration::ZERO };
    let layout = fixture("large").join("oci");
    if !layout.is_dir() {
        return report.missing(row(), HOTCELL, "rootfs-fixtures/images large builds its image");
    }
    let pushed = Distribution::start(disk()).and_then(|registry| {
        let name = registry.push(&layout, "large")?;
        Ok((registry, name))
    });
    let (_registry, name) = match pushed {
        Ok(pushed) => pushed,
        Err(why) => return report.missing(row(), HOTCELL, &why),
    };
    let mut turns = [
        command(bed, SKOPEO, &[], |dir| with_umoci(dir, &name)).peer(),
        command(bed, PODMAN, &[], |dir| podman(dir, &name)).peer(),
        command(bed, HOTCELL, &[SKOPEO, PODMAN], |dir| {
            let store = dir.join("store");
            words(&[PROGRAM, "pull", "--quiet", "--image-dir", store.to_str().unwrap(), &name])
        }),
    ];
    interleave(&mut turns, Duration::ZERO, (args.rounds / 40).max(3));
    report.row(row(), &turns);
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn with_umoci(dir: &Path, name: &str) -> Vec<String> {
    let script = "skopeo --insecure-policy copy --quiet --src-tls-verify=false \
                  \"docker://$1\" \"oci:$2/layout:latest\" && \
                  exec umoci unpack --image \"$2/layout:latest\" \"$2/bundle\" >/dev/null";
    words(&["sh", "-c", script, "sh", name, dir.to_str().unwrap()])
}

/// Where it mounts something, it is in a namespace that ends with it.
fn podman(dir: &Path, name: &str) -> Vec<String> {
    let at = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let mut all = words(&["unshare", "--mount", "--propagation", "private", "podman", "--root"]);
    all.extend([at("root"), "--runroot".to_owned(), at("run")]);
    all.extend(words(&["--storage-driver", "overlay", "pull", "--quiet", "--tls-verify=false"]));
    all.push(name.to_owned());
    all
}

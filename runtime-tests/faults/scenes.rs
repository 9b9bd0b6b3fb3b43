//! Cells that between them go through every kind of step of the driver's own.

use std::fs;

use hotcell::bundle::{CellConfig, DeviceFlag, Tmpfs, Upper, User, UserNamespace, Volume, spec};
use hotcell::oci_spec::runtime::{Capability, Spec};

use crate::bed::{Bed, script};

/// A cell with some of everything.
fn rich(bed: &Bed) -> CellConfig {
    let source = bed.path("volume");
    fs::create_dir_all(&source).unwrap();
    let nothing: DeviceFlag = "/dev/zero:/dev/nothing".parse().unwrap();
    let mut config = script("exit 0");
    config.cwd = "/made/when/missing".to_owned();
    config.user = User { uid: 1000, gid: 1000 };
    config.groups = vec![7, 8];
    config.capabilities = vec![Capability::Chown, Capability::NetBindService];
    config.hostname = Some("rich".to_owned());
    config.limits.rlimits = vec!["nofile=64".parse().unwrap()];
    config.volumes = vec![Volume::new(&source, "/volume")];
    config.tmpfs = vec![Tmpfs::new("/scratch")];
    config.devices = vec![nothing.look_up().unwrap()];
    config
}

/// The scenes by name, as specifications.
pub fn scenes(bed: &Bed) -> Vec<(&'static str, Spec)> {
    let memory = rich(bed);
    let mut disk = rich(bed);
    (disk.upper, disk.init) = (Upper::Disk, false);
    let mut shared = script("exit 0");
    shared.upper = Upper::ReadOnly;
    // A mount point that is missing there has to be made in a layer.
    let mut sealed = shared.clone();
    sealed.tmpfs = vec![Tmpfs::new("/missing")];
    let mut own_ids = disk.clone();
    own_ids.devices.clear();
    own_ids.user_namespace = UserNamespace::Auto;
    let mut own_ids_shared = shared.clone();
    own_ids_shared.user_namespace = UserNamespace::Auto;
    let scenes = [
        ("memory", memory),
        ("disk", disk),
        ("shared", shared),
        ("sealed", sealed),
        ("own ids", own_ids),
        ("own ids, shared", own_ids_shared),
    ];
    scenes
        .into_iter()
        .map(|(name, config)| {
            let mut spec = spec(&config).unwrap();
            spec.set_domainname(Some("domain".to_owned()));
            (name, spec)
        })
        .collect()
}

//! What a killed driver with a cell has left, made by hand.

use std::fs;

use hotcell::native::Options;

use crate::bed::{Bed, cgroup_dirs};

/// Makes it in all of the bed's places.
pub fn bury(bed: &Bed) {
    let Options { state_dir, data_dir, cgroup_parent, .. } = bed.options();
    drop(bed.driver());
    let id = "0123456789ab";
    for dir in [state_dir.join("ids"), state_dir.join(id).join("cell"), data_dir.join(id)] {
        fs::create_dir_all(dir).unwrap();
    }
    for dir in [&data_dir, &state_dir.join("ids")] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(dir, mode).unwrap();
    }
    let data = data_dir.display();
    let record = format!(r#"{{"cgroup_parent":"{cgroup_parent}","data_dir":"{data}"}}"#);
    fs::write(state_dir.join(id).join(".instance.json"), record).unwrap();
    fs::write(state_dir.join(id).join("draft"), "").unwrap();
    fs::write(state_dir.join(id).join("cell/config.json"), "{}").unwrap();
    std::os::unix::fs::symlink(id, state_dir.join("ids/7")).unwrap();
    fs::write(state_dir.join(format!(".made-{cgroup_parent}")), "").unwrap();
    for parent in cgroup_dirs() {
        fs::create_dir_all(parent.join(format!("{id}-cell"))).unwrap();
    }
}

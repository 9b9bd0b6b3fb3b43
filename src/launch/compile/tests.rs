//! Whole plans as text.

use super::*;
use crate::bundle::{CellConfig, Upper, spec};

fn place() -> Place {
    Place {
        views: vec![View { name: "".into(), path: "/sys/fs/cgroup/hotcell/c".into() }],
        null_streams: [true, false, false],
        ..Place::default()
    }
}

fn text(config: &CellConfig) -> String {
    let at = tempfile::tempdir().unwrap();
    let bundle = Bundle::create(at.path(), spec(config).unwrap()).unwrap();
    compile(&bundle, &place()).unwrap().0.to_string()
}

#[test]
fn the_golden_plan() {
    let rootfs = tempfile::tempdir().unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(rootfs.path(), mode).unwrap();
    let mut config = CellConfig::new(rootfs.path(), ["true"]);
    config.hostname = Some("cell".into());
    config.upper = Upper::Tmpfs;
    let text = text(&config).replace(rootfs.path().to_str().unwrap(), "/ROOTFS");
    let golden = include_str!("golden.txt");
    assert_eq!(text, golden, "--- got ---\n{text}");
}

#[test]
fn cgroups_that_are_made_meanwhile_are_waited_for_where_they_are_seen() {
    let view = |name: &'static str| View {
        name: name.into(),
        path: format!("/sys/fs/cgroup/{name}/c").into(),
    };
    let place = Place {
        joins: vec!["memory".into(), "pids".into()],
        views: ["memory", "pids", "unified"].map(view).into(),
        later: true,
        ..Place::default()
    };
    let mut config = CellConfig::new("/", ["true"]);
    config.upper = Upper::Tmpfs;
    let bundle = |config: &CellConfig| Bundle::in_memory(spec(config).unwrap());
    let (plan, _) = compile(&bundle(&config), &place).unwrap();
    let text = plan.to_string();
    let wanted = "wait for the cgroups\njoin the memory cgroup\njoin the pids cgroup\n\
                  unshare the cgroup namespace\nmount tmpfs at /sys/fs/cgroup for other mounts\n";
    assert!(text.contains(wanted) && text.matches("join the ").count() == 2, "{text}");
    assert!(text.find("mount proc ") < text.find(wanted), "{text}");
    let (before, after) = plan.trees_apart();
    let paths = after.map(|trees| trees.map(|tree| tree.path.as_str()).collect::<Vec<_>>());
    let seen = ["memory", "pids", "unified"].map(|name| format!("/sys/fs/cgroup/{name}/c"));
    assert_eq!(paths.unwrap(), seen);
    assert_eq!(before.count() + seen.len(), plan.trees().count());
    assert!(plan.given.iter().all(|given| !matches!(given, Given::Tasks(_))));

    assert!(may_join_late(bundle(&config).spec()));
    config.user_namespace = crate::bundle::UserNamespace::Auto;
    assert!(!may_join_late(bundle(&config).spec()), "it could not join them from there");
    let copied = r#"{"ociVersion": "1.2.0", "mounts": [
        {"destination": "/c", "type": "tmpfs", "options": ["nosuid", "tmpcopyup"]}]}"#;
    assert!(!may_join_late(&serde_json::from_str(copied).unwrap()), "an image's files are large");
    let device = r#"{"ociVersion": "1.2.0", "mounts": [
        {"destination": "/c", "type": "ext4", "source": "/dev/vdb"}]}"#;
    assert!(!may_join_late(&serde_json::from_str(device).unwrap()), "it may not be the cell's");
    let mount = serde_json::json!({"destination": "/c", "type": "tmpfs"});
    let many = |count| serde_json::json!({"ociVersion": "1.2.0", "mounts": vec![&mount; count]});
    let late = |count| may_join_late(&serde_json::from_value(many(count)).unwrap());
    assert!(late(FEW_MOUNTS) && !late(FEW_MOUNTS + 1));
    let joined = r#"{"ociVersion": "1.2.0", "linux": {"namespaces": [
        {"type": "mount"}, {"type": "ipc", "path": "/proc/7/ns/ipc"}]}}"#;
    assert!(!may_join_late(&serde_json::from_str(joined).unwrap()), "rights may end there");
}

#[test]
fn layers_take_one_tree_and_change_nothing_else() {
    let at = tempfile::tempdir().unwrap();
    for name in ["a/fs", "b/fs"] {
        std::fs::create_dir_all(at.path().join(name)).unwrap();
    }
    let mut config = CellConfig::new(at.path().join("a/fs"), ["true"]);
    let dir = at.path().to_str().unwrap();
    for upper in [Upper::Tmpfs, Upper::ReadOnly] {
        config.upper = upper;
        config.layers.clear();
        let one = text(&config);
        config.stack(dir, ["a/fs", "b/fs"]);
        let two = text(&config);
        let overlay = "(lowerdir=lower/a/fs:lower/b/fs,upperdir=upper,";
        assert!(two.contains(&format!("bind read-only {dir} at lower\n")), "{two}");
        let two = two.replace(&format!("{dir} at lower"), &format!("{dir}/a/fs at lower"));
        let two = two.replace(overlay, "(lowerdir=lower,upperdir=upper,");
        assert_eq!(two, one, "{upper:?}");
    }
    config.user_namespace = crate::bundle::UserNamespace::Auto;
    let mut spec = spec(&config).unwrap();
    let range = crate::bundle::IdRange::new(300_000, 65_536).unwrap();
    crate::bundle::map_ids(&mut spec, range).unwrap();
    let bundle = Bundle::in_memory(spec);
    let text = compile(&bundle, &place()).unwrap().0.to_string();
    let options = "upperdir=upper,workdir=work,nfs_export=off,userxattr)";
    assert!(text.contains(&format!("(lowerdir=lower/a/fs:lower/b/fs,{options}")), "{text}");
    assert!(text.contains(&format!("bind read-only {dir}, ids mapped, at lower")), "{text}");
}

#[test]
fn who_could_get_behind_a_mount_sees_a_shared_root_through_an_overlay() {
    use oci_spec::runtime::Capability::{DacReadSearch, SysAdmin};
    let rootfs = tempfile::tempdir().unwrap();
    for dir in ["dev", "proc", "sys"] {
        std::fs::create_dir(rootfs.path().join(dir)).unwrap();
    }
    let mut config = CellConfig::new(rootfs.path(), ["true"]);
    config.upper = Upper::ReadOnly;
    assert!(!text(&config).contains("overlay"));
    for more in [DacReadSearch, SysAdmin] {
        config.capabilities = vec![more];
        assert!(text(&config).contains("mount overlay"), "{more}");
    }
}

#[test]
fn the_hosts_name_stays_the_hosts() {
    let mut config = CellConfig::new("/", ["true"]);
    config.hostname = Some("cell".into());
    config.upper = Upper::Tmpfs;
    let mut spec = spec(&config).unwrap();
    let mut linux = spec.linux().clone().unwrap();
    let mut kept = linux.namespaces().clone().unwrap();
    kept.retain(|namespace| namespace.typ() != LinuxNamespaceType::Uts);
    linux.set_namespaces(Some(kept));
    spec.set_linux(Some(linux));
    let at = tempfile::tempdir().unwrap();
    let bundle = Bundle::create(at.path(), spec).unwrap();
    let error = compile(&bundle, &place()).unwrap_err().to_string();
    assert!(error.contains("hostname: needs a uts namespace"), "{error}");
}

#[test]
fn targets_are_cleaned_and_never_climb() {
    assert_eq!(target("place", Path::new("/a/./b//c/")).unwrap(), "/a/b/c");
    assert!(target("place", Path::new("/a/../b")).is_err());
    assert!(target("place", Path::new("/")).is_err());
}

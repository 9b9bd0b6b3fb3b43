//! What a specification says of a wish, and which wishes are refused.

use oci_spec::runtime::PosixRlimitType;

use super::super::config::Tmpfs;
use super::*;

fn config() -> CellConfig {
    CellConfig::new("/srv/rootfs", ["true"])
}

#[test]
fn the_shared_root_is_read_only_to_others_and_annotated_for_us() {
    let spec = spec(&config()).unwrap();
    assert_eq!(spec.root().as_ref().unwrap().readonly(), Some(true));
    let annotations = spec.annotations().as_ref().unwrap();
    assert_eq!(annotations[annotation::ROOTFS], annotation::COPY_ON_WRITE_TMPFS);
    assert_eq!(annotations[annotation::INIT], "true");
}

#[test]
fn layers_are_named_from_the_topmost_down() {
    let mut config = config();
    let layers = |config: &CellConfig| {
        spec(config).map(|spec| spec.annotations().clone().unwrap().remove(annotation::LAYERS))
    };
    config.annotations.insert(annotation::LAYERS.to_owned(), "x".to_owned());
    assert_eq!(layers(&config).unwrap(), None, "nobody else says so");
    config.stack("/srv", ["a/fs", "b/fs"]);
    assert_eq!(layers(&config).unwrap().as_deref(), Some("a/fs:b/fs"));
    assert_eq!(spec(&config).unwrap().root().as_ref().unwrap().path(), "/srv/a/fs");
    config.stack("/srv", ["a/fs"]);
    assert_eq!(layers(&config).unwrap(), None, "one is a root by itself");
    for names in [&["a", "../b"][..], &["a", ""], &["a", "a"], &["a,b", "b"]] {
        config.stack("/srv", names.iter().copied());
        let error = layers(&config).unwrap_err().to_string();
        assert!(error.starts_with("layer of the root"), "{error}");
    }
    config.stack("/srv", [""; 0]);
    assert!(layers(&config).unwrap_err().to_string().starts_with("rootfs"));
}

#[test]
fn a_range_of_ids_is_checked_however_it_was_made() {
    let mut config = config();
    for (first, count) in [(0, 65_536), (100_000, 1), (u32::MAX - 65_535, 65_536)] {
        config.user_namespace = UserNamespace::Range(IdRange { first, count });
        let error = spec(&config).unwrap_err().to_string();
        assert!(error.contains(&format!("{first}:{count}")), "{error}");
    }
}

#[test]
fn the_last_variable_of_a_name_wins_over_defaults_too() {
    let mut config = config();
    config.env = ["A=1", "PATH=/x", "A=2=3"].map(str::to_owned).into();
    let spec = spec(&config).unwrap();
    let env = spec.process().as_ref().unwrap().env().clone().unwrap();
    assert_eq!(env, ["PATH=/x", "HOME=/root", "HOSTNAME=cell", "A=2=3"]);
}

#[test]
fn an_unprivileged_user_holds_no_capability() {
    let mut config = config();
    config.user = "1000:1000".parse().unwrap();
    let spec = spec(&config).unwrap();
    let process = spec.process().clone().unwrap();
    let capabilities = process.capabilities().clone().unwrap();
    assert!(capabilities.effective().as_ref().unwrap().is_empty());
    assert_eq!(capabilities.bounding().as_ref().unwrap().len(), 14);
    assert_eq!(process.no_new_privileges(), Some(true));
}

#[test]
fn the_own_group_comes_first_and_once() {
    let mut config = config();
    config.user = "1000:5".parse().unwrap();
    config.groups = vec![7, 5, 6];
    config.umask = 0o077;
    let user = spec(&config).unwrap().process().as_ref().unwrap().user().clone();
    assert_eq!(user.additional_gids().as_deref(), Some(&[5, 7, 6][..]));
    assert_eq!(user.umask(), Some(0o077));
}

#[test]
fn core_files_have_to_be_asked_for() {
    let core = |config: &CellConfig| {
        let limits = spec(config).unwrap().process().as_ref().unwrap().rlimits().clone();
        let limits = limits.unwrap();
        let core = limits.iter().find(|limit| limit.typ() == PosixRlimitType::RlimitCore);
        (limits.len(), core.unwrap().hard())
    };
    let mut config = config();
    config.limits.rlimits.push("nofile=9".parse().unwrap());
    assert_eq!(core(&config), (2, 0));
    config.limits.rlimits.push("core=5".parse().unwrap());
    assert_eq!(core(&config), (2, 5));
}

#[test]
fn outer_mounts_come_before_inner_ones() {
    let mut config = config();
    config.tmpfs = vec![Tmpfs::new("/a/b"), Tmpfs::new("/a")];
    let spec = spec(&config).unwrap();
    let targets: Vec<_> =
        spec.mounts().as_ref().unwrap().iter().map(|m| m.destination().clone()).collect();
    assert!(targets.ends_with(&["/a".into(), "/a/b".into()]));
}

#[test]
fn nonsense_is_refused_with_the_value() {
    type Change = fn(&mut CellConfig);
    let changes: [(Change, &str); 13] = [
        (|c| c.args[0].clear(), "command"),
        (|c| c.args.push("a\0b".into()), "argument"),
        (|c| c.cwd = "relative".into(), "relative"),
        (|c| c.user.uid = u32::MAX, "4294967295"),
        (|c| c.groups.push(u32::MAX), "4294967295"),
        (|c| c.groups = vec![1; 65536], "number of groups"),
        (|c| c.umask = 0o1000, "umask \"1000\""),
        (|c| c.env.push("=x".into()), "environment variable \"\""),
        (|c| c.env.push("A=s\0".into()), "environment variable \"A\": must be"),
        (|c| c.rootfs = "rootfs".into(), "rootfs"),
        (|c| c.hostname = Some("h".repeat(65)), "hostname"),
        (|c| c.hostname = Some("a\nb".into()), "hostname"),
        (|c| c.tmpfs = vec![Tmpfs::new("/t"), Tmpfs::new("/a"), Tmpfs::new("/t/")], "taken"),
    ];
    for (change, text) in changes {
        let mut config = config();
        change(&mut config);
        let error = spec(&config).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }
}

//! Mounts as other runtimes' users write them: every option, maps of a mount's own, copies of what is
//! covered, cgroup views, and devices as engines list them.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;

use serde_json::{Value, json};

use super::{as_runc, config, hotcell, refused};
use crate::bed::Bed;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(a_memory_file_system_keeps_what_it_covers_when_asked, Cells, Busybox, Runc),
        test!(hostile_directories_are_copied_as_they_are_or_refused, Cells, Busybox),
        test!(a_memory_file_system_has_the_mode_of_the_directory_below, Cells, Busybox, Runc),
        test!(recursive_options_reach_what_is_mounted_below, Cells, Busybox),
        test!(a_mount_can_be_changed_by_a_later_one, Cells, Busybox),
        test!(ids_of_a_mounts_own, Cells, Busybox),
        test!(targets_behind_links_stay_in_the_root, Cells, Busybox, Runc),
        test!(what_is_missing_is_told, Cells, Busybox),
        test!(a_cgroup_is_seen_alone_whatever_the_mount_is_called, Cells, Busybox),
        test!(cgroups_are_seen_at_several_places, Cells, Busybox),
        test!(devices_as_engines_list_them, Cells, Busybox, Runc),
        test!(a_bundle_with_many_extents_and_a_closed_directory_above, Cells, Busybox),
    ]
}

/// Makes the root writable, and says where it is.
fn own_root(bed: &Bed, config: &mut Value) -> std::path::PathBuf {
    config["root"]["readonly"] = json!(false);
    bed.path("own-root")
}

fn mount(config: &mut Value, mount: Value) {
    config["mounts"].as_array_mut().unwrap().push(mount);
}

fn a_memory_file_system_keeps_what_it_covers_when_asked(bed: &Bed) {
    let mut config = config(
        bed,
        "cd /data; find . | sort; stat -c '%n %F %a %u:%g %s' a d d/b l; md5sum a d/b; readlink l; \
         echo new > a; echo more > c; cat a c; grep -o ' /data .*tmpfs' /proc/self/mounts | wc -l",
    );
    let root = own_root(bed, &mut config);
    let data = root.join("data");
    std::fs::create_dir_all(data.join("d")).unwrap();
    std::fs::write(data.join("a"), "A".repeat(100_000)).unwrap();
    std::fs::write(data.join("d/b"), "b\n").unwrap();
    std::fs::set_permissions(data.join("a"), PermissionsExt::from_mode(0o4750)).unwrap();
    std::fs::set_permissions(data.join("d"), PermissionsExt::from_mode(0o1755)).unwrap();
    chown(data.join("d"), Some(5), Some(6)).unwrap();
    symlink("/etc/passwd", data.join("l")).unwrap();
    let options = ["nosuid", "nodev", "rprivate", "size=8m", "tmpcopyup"];
    mount(
        &mut config,
        json!({"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": options}),
    );
    as_runc(bed, "copyup", &config);
    // A node, which runc 1.1 can't copy.
    let device = rustix::fs::makedev(1, 3);
    let (kind, mode) = (rustix::fs::FileType::CharacterDevice, rustix::fs::Mode::from(0o644));
    rustix::fs::mknodat(rustix::fs::CWD, data.join("dev"), kind, mode, device).unwrap();
    let plain = config["process"]["args"].clone();
    config["process"]["args"] = json!(["stat", "-c", "%F %t:%T %a", "/data/dev"]);
    assert_eq!(hotcell(bed, &config).unwrap(), "character special file 1:3 644\n");
    config["process"]["args"] = plain;
    assert_eq!(std::fs::read_to_string(data.join("a")).unwrap().len(), 100_000);
    // What doesn't fit is told, and read-only means after the copy.
    let last = config["mounts"].as_array().unwrap().len() - 1;
    config["mounts"][last]["options"] = json!(["size=64k", "tmpcopyup"]);
    refused(
        bed,
        &config,
        "with a copy of what is there (flags 0x0, \"size=64k\"): sendfile: No space",
    );
    config["mounts"][last]["options"] = json!(["ro", "tmpcopyup"]);
    config["process"]["args"] = json!(["sh", "-c", "cat /data/d/b; touch /data/x 2>&1; true"]);
    let said = hotcell(bed, &config).unwrap();
    assert!(said.starts_with("b\n") && said.contains("Read-only"), "{said}");
    config["mounts"][last]["type"] = json!("proc");
    refused(bed, &config, "is for a memory file system");
}

fn hostile_directories_are_copied_as_they_are_or_refused(bed: &Bed) {
    let mut config = config(bed, "find /data | wc -l");
    let root = own_root(bed, &mut config);
    let mut deep = root.join("data");
    mount(
        &mut config,
        json!({"destination": "/data", "type": "tmpfs", "options": ["tmpcopyup", "size=8m"]}),
    );
    // A directory that is a link to the host's is one of the root's.
    symlink("/etc", &deep).unwrap();
    let inside = std::fs::read_dir(root.join("etc")).unwrap().count();
    let said: usize = hotcell(bed, &config).unwrap().trim().parse().unwrap();
    assert!(said >= 1 && inside < 100, "{said}");
    std::fs::remove_file(&deep).unwrap();
    std::fs::create_dir(&deep).unwrap();
    for at in 0..300 {
        std::fs::write(deep.join(format!("{at}-{}", "n".repeat(200))), "").unwrap();
    }
    rustix::fs::mknodat(
        rustix::fs::CWD,
        deep.join("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from(0o600),
        0,
    )
    .unwrap();
    assert_eq!(hotcell(bed, &config).unwrap(), "302\n");
    for _ in 0..60 {
        deep = deep.join("d");
        std::fs::create_dir(&deep).unwrap();
    }
    refused(bed, &config, "getdents64: File name too long");
}

fn a_memory_file_system_has_the_mode_of_the_directory_below(bed: &Bed) {
    let mut config = config(bed, "stat -c %a /data /more /given; ls /data");
    let root = own_root(bed, &mut config);
    std::fs::create_dir(root.join("data")).unwrap();
    std::fs::create_dir(root.join("given")).unwrap();
    std::fs::write(root.join("data/hidden"), "").unwrap();
    std::fs::set_permissions(root.join("data"), PermissionsExt::from_mode(0o750)).unwrap();
    std::fs::set_permissions(root.join("given"), PermissionsExt::from_mode(0o755)).unwrap();
    for (target, options) in
        [("/data", vec!["nosuid"]), ("/more", vec![]), ("/given", vec!["mode=700"])]
    {
        let tmpfs =
            json!({"destination": target, "type": "tmpfs", "source": "tmpfs", "options": options});
        mount(&mut config, tmpfs);
    }
    assert_eq!(hotcell(bed, &config).unwrap(), "750\n1777\n700\n");
    // Where the specification says a mode, runc 1.1 takes the directory's all the same.
    config["process"]["args"] = json!(["sh", "-c", "stat -c %a /data"]);
    std::fs::remove_dir(root.join("more")).unwrap();
    as_runc(bed, "mode", &config);
}

/// The options of the mounts whose targets start so.
fn shown(target: &str) -> String {
    format!("grep ' {target}' /proc/self/mountinfo | cut -d' ' -f5,6")
}

fn recursive_options_reach_what_is_mounted_below(bed: &Bed) {
    // Two mounts on the host side, in a namespace that ends with the test's own process.
    let mut config = config(bed, &shown("/mnt"));
    for (options, said) in [
        (json!(["rbind", "ro"]), "/mnt ro,"),
        (
            json!(["rbind", "rro", "rnosuid", "rnodev", "rnoexec", "rnosymfollow"]),
            "/mnt ro,nosuid,nodev,noexec",
        ),
        (json!(["rbind", "rnoatime", "rnodiratime"]), "/mnt rw,"),
        (json!(["bind", "rro", "rrw"]), "/mnt rw,"),
    ] {
        let mut config = config.clone();
        let volume = bed.path("volume");
        std::fs::create_dir_all(&volume).unwrap();
        mount(
            &mut config,
            json!({"destination": "/mnt", "type": "none", "source": volume, "options": options}),
        );
        let said_now = hotcell(bed, &config).unwrap();
        assert!(said_now.starts_with(said), "{options}: {said_now}");
    }
    // Below /dev lie others: a copy of the host's, read-only all the way down.
    let source = "/dev";
    mount(
        &mut config,
        json!({"destination": "/mnt", "type": "bind", "source": source, "options": ["rbind", "rro"]}),
    );
    let said = hotcell(bed, &config).unwrap();
    assert!(said.lines().count() > 1 && said.lines().all(|line| line.contains(" ro")), "{said}");
}

fn a_mount_can_be_changed_by_a_later_one(bed: &Bed) {
    let mut config = config(bed, &format!("touch /run/x 2>&1; {}", shown("/mnt")));
    for options in [vec!["nosuid"], vec!["remount", "ro", "noexec"]] {
        let tmpfs =
            json!({"destination": "/mnt", "type": "tmpfs", "source": "tmpfs", "options": options});
        mount(&mut config, tmpfs);
    }
    let said = hotcell(bed, &config).unwrap();
    assert!(said.contains("/mnt ro,nosuid,noexec"), "{said}");
    let last = config["mounts"].as_array().unwrap().len() - 1;
    config["mounts"][last]["options"] = json!(["remount", "size=1k"]);
    refused(bed, &config, "options of the mount on /mnt: \"remount\" changes");
    config["mounts"][last] = json!({"destination": "/etc", "options": ["remount", "ro"]});
    refused(bed, &config, "change attributes of /etc (set 0x1, clear 0x0): mount_setattr");
}

fn ids_of_a_mounts_own(bed: &Bed) {
    let volume = bed.path("volume");
    std::fs::create_dir(&volume).unwrap();
    for (name, id) in [("a", 1000), ("b", 2000), ("c", 7)] {
        std::fs::write(volume.join(name), "").unwrap();
        chown(volume.join(name), Some(id), Some(id)).unwrap();
    }
    let mut config = config(
        bed,
        "stat -c '%n %u:%g' /mnt/a /mnt/b /mnt/c; touch /mnt/new 2>/dev/null; stat -c %u /home/a",
    );
    let maps = |inner: u32| {
        json!([
            {"containerID": 1000, "hostID": inner, "size": 1},
            {"containerID": 2000, "hostID": inner + 1, "size": 10},
        ])
    };
    let bind = |target: &str, first: u32, options: Value| {
        json!({"destination": target, "type": "bind", "source": volume, "options": options,
            "uidMappings": maps(first), "gidMappings": maps(first)})
    };
    mount(&mut config, bind("/mnt", 50, json!(["rbind", "idmap"])));
    mount(&mut config, bind("/home", 60, json!(["bind", "ridmap"])));
    // What no line maps is nobody's.
    let said = "/mnt/a 50:50\n/mnt/b 51:51\n/mnt/c 65534:65534\n60\n";
    assert_eq!(hotcell(bed, &config).unwrap(), said);
    let last = config["mounts"].as_array().unwrap().len() - 1;
    config["mounts"][last]["options"] = json!(["bind"]);
    assert_eq!(hotcell(bed, &config).unwrap(), said, "to name the ids is to ask for them");
    // The other way too: what is made inside belongs to the first of the pair outside.
    config["process"]["args"] = json!(["sh", "-c", "touch /mnt/new && stat -c %u:%g /mnt/new"]);
    config["process"]["user"] = json!({"uid": 50, "gid": 50});
    // The kernel lets nobody write to a directory whose owner the map leaves out.
    chown(&volume, Some(1000), Some(1000)).unwrap();
    assert_eq!(hotcell(bed, &config).unwrap(), "50:50\n");
    let made = std::fs::metadata(volume.join("new")).unwrap();
    assert_eq!((made.uid(), made.gid()), (1000, 1000));
    config["mounts"][last]["gidMappings"] = json!([]);
    refused(bed, &config, "uidMappings and gidMappings of the mount on /home: go together");
    config["mounts"][last]["gidMappings"] = json!([{"containerID": 0, "hostID": 0, "size": 0}]);
    refused(bed, &config, "mapping the ids \"0 0 0\" of the user namespace");
    config["mounts"][last] = json!({"destination": "/home", "type": "tmpfs",
        "uidMappings": maps(1), "gidMappings": maps(1)});
    refused(
        bed,
        &config,
        "uidMappings and gidMappings of the mount on /home: are for a bind mount",
    );
}

fn targets_behind_links_stay_in_the_root(bed: &Bed) {
    let mut config =
        config(bed, "cat /real/file /etc/hosts; ls -d /outside 2>&1 | wc -l; readlink /link");
    let root = own_root(bed, &mut config);
    let mounts = config["mounts"].as_array().unwrap().len();
    std::fs::create_dir(root.join("real")).unwrap();
    symlink("/real", root.join("link")).unwrap();
    symlink("../../../../../etc/hosts", root.join("climb")).unwrap();
    std::fs::write(root.join("etc/hosts"), "").unwrap();
    let source = bed.path("source");
    std::fs::write(&source, "content\n").unwrap();
    for target in ["/link/file", "/climb"] {
        mount(
            &mut config,
            json!({"destination": target, "type": "bind", "source": source, "options": ["rbind", "ro"]}),
        );
    }
    as_runc(bed, "links", &config);
    assert!(!Path::new("/real").exists());
    // One that leads to what is not there is a link to what is made; many an image has such a file.
    std::fs::remove_file(root.join("etc/hosts")).unwrap();
    symlink("../run/resolve/stub.conf", root.join("etc/resolv.conf")).unwrap();
    symlink("/run/lock/", root.join("lock")).unwrap();
    config["mounts"].as_array_mut().unwrap().truncate(mounts);
    for target in ["/climb", "/etc/resolv.conf", "/lock/deep/file"] {
        mount(
            &mut config,
            json!({"destination": target, "type": "bind", "source": source, "options": ["rbind", "ro"]}),
        );
    }
    config["process"]["args"] =
        json!(["cat", "/etc/hosts", "/run/resolve/stub.conf", "/run/lock/deep/file"]);
    assert_eq!(hotcell(bed, &config).unwrap(), "content\ncontent\ncontent\n");
    for made in ["etc/hosts", "run/resolve", "run/lock"] {
        let made = root.join(made);
        let _ = std::fs::remove_dir_all(&made).or_else(|_| std::fs::remove_file(&made));
    }
    as_runc(bed, "dangling", &config);
    symlink("round", root.join("round")).unwrap();
    config["mounts"][mounts]["destination"] = json!("/round");
    refused(bed, &config, "at /round: openat2: Too many levels of symbolic links");
}

fn what_is_missing_is_told(bed: &Bed) {
    let mut config = config(bed, "true");
    let source = bed.path("no-such");
    let bind =
        json!({"destination": "/mnt", "type": "bind", "source": source, "options": ["bind"]});
    mount(&mut config, bind);
    refused(bed, &config, "no-such\": No such file or directory");
    let last = config["mounts"].as_array().unwrap().len() - 1;
    for (field, value, part) in [
        ("type", json!("no-such-type"), "mount no-such-type at /mnt"),
        ("source", json!(""), "volume source"),
        ("destination", json!("/"), "must not be the root"),
        ("destination", json!("/../etc"), "must not hold \"..\""),
        ("options", json!(["bind", "no-such-option"]), "\"no-such-option\" of the mount on /mnt"),
    ] {
        let mut config = config.clone();
        config["mounts"][last][field] = value;
        if field == "type" {
            config["mounts"][last]["options"] = json!([]);
        }
        refused(bed, &config, part);
    }
}

fn a_cgroup_is_seen_alone_whatever_the_mount_is_called(bed: &Bed) {
    let text = "cd /sys/fs/cgroup; cat $(find . -name cgroup.procs | head -1) | wc -l; \
                ls -d unified cgroup.procs 2>/dev/null; grep -c '/sys/fs/cgroup[^ ]* rw' /proc/self/mountinfo";
    for (kind, private) in
        [("cgroup", true), ("cgroup2", true), ("cgroup", false), ("cgroup2", false)]
    {
        for (access, writable) in [("ro", false), ("rw", true)] {
            let mut config = config(bed, text);
            let mounts = config["mounts"].as_array_mut().unwrap();
            mounts.retain(|mount| mount["destination"] != "/sys/fs/cgroup");
            mounts.push(json!({"destination": "/sys/fs/cgroup", "type": kind, "source": "cgroup",
                "options": ["nosuid", "noexec", "nodev", "relatime", access]}));
            if !private {
                let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
                namespaces.retain(|namespace| namespace["type"] != "cgroup");
            }
            let said = hotcell(bed, &config).unwrap();
            let lines: Vec<_> = said.lines().collect();
            let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
            let seen = if kind == "cgroup2" || unified { "cgroup.procs" } else { "unified" };
            assert!(lines.contains(&seen), "{kind} {access}: {said}");
            // The shell and the pipe's other processes, and nobody else.
            assert!(lines[0].parse::<u32>().unwrap() <= 4, "{said}");
            assert_eq!(*lines.last().unwrap() != "0", writable, "{kind} {access}: {said}");
        }
    }
}

fn cgroups_are_seen_at_several_places(bed: &Bed) {
    let places = ["/sys/fs/cgroup", "/mnt/one", "/mnt/two"];
    let mut config =
        config(bed, "for at in /sys/fs/cgroup /mnt/one /mnt/two; do ls $at | wc -l; done");
    let mounts = config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| mount["destination"] != "/sys/fs/cgroup");
    for at in places {
        mounts.push(json!({"destination": at, "type": "cgroup", "source": "cgroup",
            "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]}));
    }
    // In a layer in memory, and without.
    for layer in [true, false] {
        if layer {
            config["annotations"] = json!({"dev.hotcell.rootfs": "copy-on-write:tmpfs"});
        }
        let said = hotcell(bed, &config).unwrap();
        let counts: Vec<_> = said.lines().collect();
        assert!(counts.len() == 3 && counts.iter().all(|count| *count == counts[0]), "{said}");
        assert_ne!(counts[0], "0");
        config["annotations"] = json!({});
    }
}

fn devices_as_engines_list_them(bed: &Bed) {
    let mut config = config(
        bed,
        "cd /dev; for d in null zero full random urandom tty more fifo; do \
         stat -c '%n %F %t:%T %a %u:%g' $d; done; for l in fd stdin stdout stderr ptmx; do readlink $l; done",
    );
    let device = |path: &str, kind: &str, major: u32, minor: u32| json!({"path": path, "type": kind, "major": major, "minor": minor, "fileMode": 0o666, "uid": 0, "gid": 0});
    config["linux"]["devices"] = json!([
        device("/dev/null", "c", 1, 3),
        device("/dev/zero", "c", 1, 5),
        device("/dev/full", "c", 1, 7),
        device("/dev/random", "c", 1, 8),
        device("/dev/urandom", "c", 1, 9),
        device("/dev/tty", "c", 5, 0),
        device("/dev/ptmx", "c", 5, 2),
        {"path": "/dev/more", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 3, "gid": 7},
        {"path": "/dev/fifo", "type": "p", "fileMode": 0o600, "uid": 9, "gid": 9},
    ]);
    // runc takes no rule of its own for what is listed.
    config["linux"]["resources"]["devices"] = json!([{"allow": true, "access": "rwm"}]);
    as_runc(bed, "devices", &config);
}

/// As engines write it that give each user of the host ids of his own.
fn a_bundle_with_many_extents_and_a_closed_directory_above(bed: &Bed) {
    let mut config = config(
        bed,
        "id -u; cat /proc/self/uid_map | wc -l; stat -c %u:%g /mine /other; touch /made",
    );
    let closed = bed.path("closed");
    std::fs::create_dir(&closed).unwrap();
    let root = own_root(bed, &mut config);
    let inside = closed.join("root");
    std::fs::rename(&root, &inside).unwrap();
    std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o700)).unwrap();
    config["root"]["path"] = json!(inside);
    for (name, id) in [("mine", 400_000), ("other", 500_005)] {
        std::fs::write(inside.join(name), "").unwrap();
        chown(inside.join(name), Some(id), Some(id)).unwrap();
    }
    chown(&inside, Some(400_000), Some(400_000)).unwrap();
    std::fs::set_permissions(&inside, PermissionsExt::from_mode(0o700)).unwrap();
    let line = |inner: u32, outer: u32, size: u32| json!({"containerID": inner, "hostID": outer, "size": size});
    let mut lines = vec![line(0, 400_000, 1000), line(1000, 500_000, 1000)];
    lines.extend((0..100).map(|at| line(2000 + at, 600_000 + 2 * at, 1)));
    lines.push(line(65_534, 700_000, 1));
    config["linux"]["uidMappings"] = json!(lines);
    config["linux"]["gidMappings"] = json!(lines);
    config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
    config["process"]["oomScoreAdj"] = json!(500);
    assert_eq!(hotcell(bed, &config).unwrap(), "0\n103\n0:0\n1005:1005\n");
    let made = std::fs::metadata(inside.join("made")).unwrap();
    assert_eq!((made.uid(), made.gid()), (400_000, 400_000));
    config["linux"]["uidMappings"] = json!([line(1, 400_000, 10)]);
    refused(bed, &config, "process.user: user 0 is nobody");
    config["linux"]["uidMappings"] = json!([line(0, 400_000, 10), line(5, 500_000, 10)]);
    refused(bed, &config, "mapping the ids \"0 400000 10, 5 500000 10\" of the user namespace");
}

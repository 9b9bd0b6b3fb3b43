//! podman: capabilities, system call filters, ids and namespaces of a container.

use super::Podman;
use crate::bed::Bed;
use crate::clients::good;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(capabilities_as_asked, Cells, Busybox, Podman),
        test!(system_calls_as_asked, Cells, Busybox, Podman),
        test!(ids_of_its_own, Cells, Busybox, Podman),
        test!(namespaces_of_the_host, Cells, Busybox, Podman),
        test!(namespaces_of_another_container, Cells, Busybox, Podman),
        test!(ids_of_another_container, Cells, Busybox, Podman),
        test!(its_place_in_the_cgroup_tree, Cells, Busybox, Podman),
        test!(what_is_hidden_of_the_kernel, Cells, Busybox, Podman),
    ]
}

fn capabilities_as_asked(bed: &Bed) {
    Podman::with(bed, |podman| {
        let effective = |flags: &[&str]| {
            let line = good(podman.run(flags, "grep CapEff /proc/self/status"));
            u64::from_str_radix(line.split_whitespace().last().unwrap(), 16).unwrap()
        };
        let (chown, net_raw, net_admin) = (1 << 0, 1 << 13, 1 << 12);
        assert_eq!(effective(&["--cap-drop", "all"]), 0);
        assert_eq!(effective(&["--cap-drop", "all", "--cap-add", "net_raw"]), net_raw);
        let ordinary = effective(&[]);
        assert_eq!(ordinary & (chown | net_admin), chown);
        assert_eq!(
            effective(&["--cap-drop", "chown", "--cap-add", "net_admin"]),
            ordinary & !chown | net_admin
        );
        assert_eq!(effective(&["-u", "1000"]), 0);
        assert_eq!(effective(&["--privileged"]) & ordinary, ordinary);
        let (inside, host) =
            (effective(&["--privileged"]), std::fs::read_to_string("/proc/self/status").unwrap());
        assert!(host.contains(&format!("CapEff:\t{inside:016x}")));
        // Files are not owned by whom they would be without it.
        assert_ne!(podman.run(&["--cap-drop", "chown"], "chown 5 /etc/passwd").code, Some(0));
    });
}

fn system_calls_as_asked(bed: &Bed) {
    Podman::with(bed, |podman| {
        let status = "grep -E 'NoNewPrivs:|Seccomp:' /proc/self/status | cut -f 2";
        assert_eq!(good(podman.run(&[], status)), "0\n2");
        assert_eq!(good(podman.run(&["--security-opt", "seccomp=unconfined"], status)), "0\n0");
        assert_eq!(good(podman.run(&["--security-opt", "no-new-privileges"], status)), "1\n2");
        let profile = bed.path("profile.json");
        let rules = serde_json::json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95 }],
        });
        std::fs::write(&profile, rules.to_string()).unwrap();
        let flag = format!("seccomp={}", profile.display());
        let ran = podman.run(&["--security-opt", &flag], "mkdir /made");
        assert!(ran.code == Some(1) && ran.err.contains("not supported"), "{ran:?}");
        // The engine's own profile: without the capability there is no mounting.
        assert_ne!(podman.run(&[], "unshare -m true").code, Some(0));
    });
}

fn ids_of_its_own(bed: &Bed) {
    Podman::with(bed, |podman| {
        let map = ["--uidmap", "0:100000:1000", "--gidmap", "0:200000:1000"];
        let seen = podman.run(
            &map,
            "cat /proc/self/uid_map /proc/self/gid_map; id -u; stat -c %u:%g /etc/passwd",
        );
        let seen = good(seen);
        let words: Vec<_> = seen.split_whitespace().collect();
        assert_eq!(words, ["0", "100000", "1000", "0", "200000", "1000", "0", "0:0"]);
        podman.start("mapped", &map, "touch /made; sleep 1000");
        let pid = podman.inspect("mapped", "{{.State.Pid}}");
        let outside = podman
            .stage()
            .sh(&format!("stat -c %u:%g /proc/{pid}/root/etc/passwd; grep Uid /proc/{pid}/status"));
        assert!(good(outside).starts_with("100000:200000\nUid:\t100000\t"));
        assert_eq!(
            good(podman.exec("mapped", &[], "id -u; readlink -f /proc/self/ns/user")),
            good(podman.exec("mapped", &["-u", "0"], "id -u; readlink -f /proc/1/ns/user"))
        );
        assert_ne!(
            podman.exec("mapped", &[], "hostname other && mount -t tmpfs x /mnt").code,
            Some(0)
        );
        good(podman.stage().sh("mkdir /run/ids; for f in subuid subgid; do echo containers:300000:200000 >/run/ids/$f; mount --bind /run/ids/$f /etc/$f; done"));
        let automatic = good(podman.run(&["--userns", "auto:size=5000"], "cat /proc/self/uid_map"));
        assert_eq!(automatic.split_whitespace().collect::<Vec<_>>(), ["0", "300000", "5000"]);
        good(podman.stage().sh("umount /etc/subuid /etc/subgid"));
    });
}

fn namespaces_of_the_host(bed: &Bed) {
    Podman::with(bed, |podman| {
        let name = |kind: &str| good(podman.stage().sh(&format!("readlink /proc/1/ns/{kind}")));
        let inside = |flag: &str, kind: &str| {
            // Busybox's readlink wants to hear that the target need not be there.
            good(podman.run(
                &[&format!("{flag}=host")],
                &format!("ls -l /proc/self/ns/{kind} | sed 's/.*-> //'"),
            ))
        };
        for (flag, kind) in [
            ("--ipc", "ipc"),
            ("--uts", "uts"),
            ("--network", "net"),
            ("--pid", "pid"),
            ("--cgroupns", "cgroup"),
        ] {
            assert_eq!(inside(flag, kind), name(kind), "{flag}");
        }
        let own = good(podman.run(&[], "ls -l /proc/self/ns"));
        for kind in ["ipc", "uts", "net", "pid", "mnt"] {
            assert!(!own.contains(&name(kind)), "{kind}: {own}");
        }
        podman.start("visible", &["--pid", "host"], "sleep 1000 & sleep 1001");
        podman.good(&["kill", "visible"]);
        assert_eq!(podman.good(&["wait", "visible"]), "137");
        // Without a PID namespace the rest of its processes has to be found and killed too.
        podman.good(&["rm", "--force", "--time", "0", "visible"]);
        let left = podman.stage().sh("grep -lz '[s]leep' /proc/[0-9]*/cmdline");
        assert_eq!(left.out, "");
    });
}

fn namespaces_of_another_container(bed: &Bed) {
    Podman::with(bed, |podman| {
        podman.start("first", &["--ipc", "shareable"], "sleep 1000");
        let listed = "ls -l /proc/self/ns | sed -n 's/.*-> //p'";
        let names = good(podman.exec("first", &[], listed));
        for (flag, kind) in [("--pid", "pid:"), ("--ipc", "ipc:"), ("--network", "net:")] {
            let second = good(podman.run(&[&format!("{flag}=container:first")], listed));
            let name = names.lines().find(|name| name.starts_with(kind)).unwrap();
            assert!(second.contains(name), "{flag}: {second}, not {name}");
        }
        let seen = good(podman.run(&["--pid", "container:first"], "ps"));
        assert!(seen.contains("sleep 1000"), "{seen}");
    });
}

fn ids_of_another_container(bed: &Bed) {
    Podman::with(bed, |podman| {
        let map = ["--uidmap", "0:100000:1000", "--gidmap", "0:200000:1000", "--ipc", "shareable"];
        podman.start("first", &map, "sleep 1000");
        let told = "readlink /proc/self/ns/user; id -u; cat /proc/self/uid_map /proc/self/gid_map
            touch /made && stat -c %u:%g /made";
        let first = good(podman.exec("first", &[], told));
        let join =
            [&["--userns", "container:first"][..], &["--network", "container:first"]].concat();
        assert_eq!(good(podman.run(&["--userns", "container:first"], told)), first);
        let others = ["--ipc", "container:first", "--pid", "container:first"];
        let seen = good(podman.run(&[&join[..], &others].concat(), &format!("{told}; ps")));
        assert!(seen.starts_with(&first) && seen.contains("sleep 1000"), "{seen}");
        podman.start("second", &["--userns", "container:first"], "sleep 1000");
        assert_eq!(good(podman.exec("second", &["-u", "7:8"], "id -u; id -g")), "7\n8");
    });
}

fn its_place_in_the_cgroup_tree(bed: &Bed) {
    Podman::with(bed, |podman| {
        let parent = podman.stage().cgroup_parent();
        let host = good(podman.run(&["--cgroupns", "host"], "cat /proc/self/cgroup"));
        assert!(host.lines().all(|line| line.contains(&format!(":{parent}/libpod-"))), "{host}");
        let private = good(podman.run(&["--cgroupns", "private"], "cat /proc/self/cgroup"));
        assert!(private.lines().all(|line| line.ends_with(":/")), "{private}");
        let written = podman.run(
            &[],
            "mkdir $(find /sys/fs/cgroup -name cgroup.procs | head -n 1 | xargs dirname)/x",
        );
        assert!(written.err.contains("Read-only"), "{written:?}");
        good(podman.run(&["--systemd=false"], "true"));
    });
}

fn what_is_hidden_of_the_kernel(bed: &Bed) {
    Podman::with(bed, |podman| {
        let hidden =
            "cat /proc/kcore /proc/keys 2>/dev/null | wc -c; echo 0 >/proc/sys/kernel/panic";
        let ran = podman.run(&[], hidden);
        assert!(ran.out == "0\n" && ran.err.contains("Read-only"), "{ran:?}");
        let masked = ["--security-opt", "mask=/etc/passwd"];
        assert_eq!(good(podman.run(&masked, "wc -c </etc/passwd")), "0");
        let unmasked = ["--security-opt", "unmask=ALL"];
        assert_ne!(good(podman.run(&unmasked, "wc -c </proc/keys")), "0");
    });
}

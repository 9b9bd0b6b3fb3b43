//! Cells with ids of their own: root inside is nobody outside.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use hotcell::bundle::{IdRange, UserNamespace};

use crate::bed::{Bed, finish, listing, script};
use crate::host::fixture;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(root_inside_is_a_number_of_its_own_outside, Cells, Busybox),
        test!(the_cell_looks_as_without_one, Cells, Busybox),
        test!(writes_stay_inside_and_removed_stays_removed, Cells, Busybox),
        test!(nothing_of_the_host_is_left_to_be_seen, Cells, Busybox),
        test!(a_shared_root_stays_as_it_is, Cells, Busybox),
        test!(volumes_keep_the_ids_they_have_on_the_host, Cells, Busybox),
        test!(the_host_network_comes_with_the_hosts_sys, Cells, Busybox),
        test!(streams_can_be_opened_by_name, Cells, Busybox),
        test!(a_bundle_of_others_with_maps_runs, Cells, Busybox),
        test!(a_fifo_is_the_cells_own, Cells, Busybox),
        test!(a_proc_of_another_namespace_is_understood, Cells, Busybox),
        test!(what_makes_no_sense_is_refused, Busybox),
        test!(limits_hold, Cells, Busybox, Pids, Memory),
        test!(a_killed_drivers_ids_are_free_again, Cells, Busybox),
    ]
}

const MODES: [&[&str]; 4] = [
    &["--upper", "disk"],
    &["--read-only"],
    &["--init", "--upper", "disk"],
    &["--init", "--read-only"],
];

/// Every mode with `more` behind it.
fn modes<'a>(more: &[&'a str]) -> Vec<Vec<&'a str>> {
    let with =
        |mode: &&[&'a str]| mode.iter().chain(&["--userns", "auto"]).chain(more).copied().collect();
    MODES.iter().map(with).collect()
}

fn root_inside_is_a_number_of_its_own_outside(bed: &Bed) {
    let mut firsts = Vec::new();
    for flags in modes(&[]) {
        let out = bed.sh(&flags, "id -u; id -g; cat /proc/self/uid_map /proc/self/gid_map").ok();
        let words: Vec<u64> = out.split_whitespace().map(|word| word.parse().unwrap()).collect();
        assert_eq!((words[0], words[1]), (0, 0), "{out}");
        assert_eq!((words[2], words[4]), (0, 65536), "{out}");
        assert_eq!(words[2..5], words[5..8], "{out}");
        assert!(words[3] >= 1 << 30, "{out}");
        firsts.push(words[3]);
    }
    // Each takes one at random, of 8192: four times the same would be no choice.
    firsts.dedup();
    assert!(firsts.len() > 1, "{firsts:?}");
    let given = bed.sh(&["--userns", "200000:70000", "--read-only"], "cat /proc/self/uid_map").ok();
    assert_eq!(given.split_whitespace().collect::<Vec<_>>(), ["0", "200000", "70000"]);
    // From outside: the process really is that user, and its namespaces are that namespace's.
    let driver = bed.driver();
    let mut config = script("exec sleep 30");
    config.init = false;
    config.upper = hotcell::bundle::Upper::ReadOnly;
    config.user_namespace = UserNamespace::Range(IdRange::new(300_000, 65_536).unwrap());
    let running = crate::bed::start(&driver, &config);
    let pid = running.cell().pid();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains("\nUid:\t300000\t300000\t300000\t300000\n"), "{status}");
    assert!(status.contains("\nGid:\t300000\t300000\t300000\t300000\n"), "{status}");
    running.close().unwrap();
}

/// What programs see must not depend on whose ids they have.
fn the_cell_looks_as_without_one(bed: &Bed) {
    let script = "
        id -u; pwd; hostname; ls /dev /dev/pts; stat -c '%n %a %u:%g' / /etc /tmp /root /dev /dev/shm;
        for d in null zero full random urandom tty; do stat -c '%n %F %t:%T %a' /dev/$d; done
        echo x > /dev/null && head -c 2 /dev/zero | wc -c
        grep -E '^(Cap|NoNewPrivs|Seccomp)' /proc/self/status; umask; ulimit -a
        cat /proc/sys/kernel/hostname; ls /sys | wc -l; cat /proc/keys | wc -l
        for p in /proc/sys/kernel/core_pattern /sys/kernel/uevent_helper /proc/sysrq-trigger; do
            (echo x >$p) 2>/dev/null && echo wrote $p; done
        cut -d ' ' -f 5 /proc/self/mountinfo | grep -v ^/dev/";
    for mode in MODES {
        let with: Vec<&str> =
            mode.iter().chain(&["--userns", "auto", "--hostname", "h"]).copied().collect();
        let without: Vec<&str> = mode.iter().chain(&["--hostname", "h"]).copied().collect();
        assert_eq!(bed.sh(&with, script).ok(), bed.sh(&without, script).ok(), "{mode:?}");
    }
}

fn writes_stay_inside_and_removed_stays_removed(bed: &Bed) {
    let before = listing(&fixture("busybox"));
    let script = "
        echo new > /new && cat /new && chown 1000:1000 /new && stat -c %u:%g /new
        rm -r /etc && mkdir /etc && ls -A /etc && touch /etc/x && ls /etc
        mv /usr /moved 2>/dev/null || cp -r /usr /moved; ls -d /moved; chmod 700 /tmp; stat -c %a /tmp";
    let expected = "new\n1000:1000\nx\n/moved\n700\n";
    assert_eq!(bed.sh(&["--userns", "auto", "--upper", "disk"], script).ok(), expected);
    let ran = bed.sh(&["--userns", "auto", "--upper", "tmpfs", "-m", "64m"], script);
    // A tmpfs that keeps no attributes (before Linux 6.6) can't hold the layer, which is said.
    match ran.code {
        Some(125) => assert!(ran.err.contains("layer in memory"), "{ran:?}"),
        _ => assert_eq!(ran.ok(), expected),
    }
    assert_eq!(listing(&fixture("busybox")), before);
}

fn nothing_of_the_host_is_left_to_be_seen(bed: &Bed) {
    std::fs::write(bed.path("secret"), "secret").unwrap();
    std::fs::set_permissions(bed.path("secret"), PermissionsExt::from_mode(0o644)).unwrap();
    let script = format!(
        "ls -id / /..; ls /../../..{} 2>&1; grep -c ' - ext4 ' /proc/self/mountinfo; \
         mkdir /tmp/m; mount -t tmpfs none /tmp/m 2>&1; umount /proc 2>&1; unshare -m true 2>&1; \
         mknod /tmp/n b 254 0 2>&1; chroot / true && echo chroot",
        bed.path("secret").display()
    );
    for flags in modes(&["--tmpfs", "/tmp"]) {
        let ran = bed.sh(&flags, &script);
        let out = ran.out.as_str();
        assert!(out.contains("No such file"), "{ran:?}");
        let inodes: Vec<_> =
            out.lines().take(2).map(|line| line.split_whitespace().next()).collect();
        assert_eq!(inodes[0], inodes[1], "{ran:?}");
        assert_eq!(
            out.matches("not permitted").count() + out.matches("denied").count(),
            4,
            "{ran:?}"
        );
    }
}

/// Whoever may mount in a namespace can make its read-only mounts writable again.
fn a_shared_root_stays_as_it_is(bed: &Bed) {
    let before = listing(&fixture("busybox"));
    let script = "mount -o remount,bind,rw / 2>&1; mount -o remount,rw / 2>&1; touch /new; exit 0";
    bed.sh(&["--userns", "auto", "--cap-add", "SYS_ADMIN", "--read-only"], script).ok();
    assert_eq!(listing(&fixture("busybox")), before);
    let ran = bed.sh(&["--userns", "auto", "--group-add", "65536"], "true");
    assert!(ran.code == Some(125) && ran.err.contains("group \"65536\": is beyond"), "{ran:?}");
}

/// A file that 1234 has on the host is 1234's inside, and nobody else's ids come in.
fn volumes_keep_the_ids_they_have_on_the_host(bed: &Bed) {
    let dir = bed.path("shared");
    std::fs::create_dir(&dir).unwrap();
    // Closed to all but its owner, below a directory closed to all but root.
    std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o700)).unwrap();
    std::fs::write(dir.join("theirs"), "1234's").unwrap();
    chown(dir.join("theirs"), Some(1234), Some(1234)).unwrap();
    let volume = format!("{}:/data", dir.display());
    let script = "stat -c %u:%g /data/theirs; cat /data/theirs; echo; echo made > /data/$0; \
                  chown 77:78 /data/$0; stat -c %u:%g /data/$0";
    for (at, mode) in MODES.iter().enumerate() {
        let name = format!("made{at}");
        let rootfs = fixture("busybox");
        let args = ["--rootfs", rootfs.to_str().unwrap(), "--userns", "auto", "-v", &volume];
        let command = ["--", "sh", "-c", script, &name];
        let out = bed.run(args.iter().chain(*mode).chain(&command)).ok();
        assert_eq!(out, "1234:1234\n1234's\n77:78\n");
        let made = std::fs::metadata(dir.join(&name)).unwrap();
        assert_eq!((made.uid(), made.gid()), (77, 78));
    }
    let read_only = format!("{}:/data:ro", dir.display());
    let ran = bed.sh(&["--userns", "auto", "--read-only", "-v", &read_only], "echo x > /data/y");
    assert!(ran.err.contains("Read-only"), "{ran:?}");
}

fn the_host_network_comes_with_the_hosts_sys(bed: &Bed) {
    for flags in modes(&["--network", "host"]) {
        let script = "readlink /proc/self/ns/net; ls /sys/class/net | sort | tr '\\n' ' '; \
                      touch /sys/kernel/uevent_seqnum 2>/dev/null && echo wrote; ls /sys/firmware; \
                      ls /sys/fs/cgroup | head -1 | wc -l";
        let out = bed.sh(&flags, script).ok();
        let host = std::fs::read_link("/proc/self/ns/net").unwrap();
        assert!(out.starts_with(host.to_str().unwrap()), "{out}");
        assert!(!out.contains("wrote") && out.contains("lo") && out.ends_with("1\n"), "{out}");
    }
}

fn streams_can_be_opened_by_name(bed: &Bed) {
    for user in ["0:0", "1000:1000"] {
        for flags in modes(&["-u", user]) {
            let ran = bed.sh(&flags, "echo out > /dev/stdout; echo err > /dev/stderr; id -u");
            let uid = user.split(':').next().unwrap();
            assert_eq!((ran.out, ran.err), (format!("out\n{uid}\n"), "err\n".to_owned()));
        }
    }
}

/// As engines write them: the root belongs to the ids already, and is not shared.
fn a_bundle_of_others_with_maps_runs(bed: &Bed) {
    let mut config = script("stat -c %u:%g /mine; touch /made && stat -c %u:%g /made");
    let rootfs = bed.path("rootfs");
    let mut copy = std::process::Command::new("cp");
    assert!(copy.arg("-a").arg(fixture("busybox")).arg(&rootfs).status().unwrap().success());
    std::fs::write(rootfs.join("mine"), "").unwrap();
    for path in [&rootfs, &rootfs.join("mine")] {
        chown(path, Some(400_000), Some(400_000)).unwrap();
    }
    std::fs::set_permissions(&rootfs, PermissionsExt::from_mode(0o755)).unwrap();
    config.rootfs = rootfs.clone();
    config.user_namespace = "400000:65536".parse().unwrap();
    let mut spec = hotcell::bundle::spec(&config).unwrap();
    let mut root = spec.root().clone().unwrap();
    root.set_readonly(Some(false));
    spec.set_root(Some(root));
    spec.set_annotations(None);
    let driver = bed.driver();
    let created = driver.create_from_spec(None, spec, None).unwrap();
    let mut running = created.run(hotcell::launch::Stdio::default()).unwrap();
    let outcome = running.wait(None).unwrap().unwrap().clone();
    running.close().unwrap();
    assert_eq!(outcome.exit.shell_code(), 0);
    let made = std::fs::metadata(rootfs.join("made")).unwrap();
    assert_eq!((made.uid(), made.gid()), (400_000, 400_000));
}

/// Devices are the host's there. A FIFO is none, whatever the host has under its name.
fn a_fifo_is_the_cells_own(bed: &Bed) {
    let mut config = script("[ -p /dev/fifo ] && [ $(stat -c %u:%g:%a /dev/fifo) = 5:6:640 ]");
    config.upper = hotcell::bundle::Upper::ReadOnly;
    config.user_namespace = UserNamespace::Range(IdRange::new(300_000, 65_536).unwrap());
    let mut spec = hotcell::bundle::spec(&config).unwrap();
    let fifo = r#"[{"path":"/dev/fifo","type":"p","fileMode":416,"uid":5,"gid":6}]"#;
    let devices = serde_json::from_str(fifo).unwrap();
    spec.linux_mut().as_mut().unwrap().set_devices(Some(devices));
    let driver = bed.driver();
    let created = driver.create_from_spec(None, spec, None).unwrap();
    let mut running = created.run(hotcell::launch::Stdio::default()).unwrap();
    assert_eq!(running.wait(None).unwrap().unwrap().exit.shell_code(), 0);
    running.close().unwrap();
}

/// In a PID namespace under the /proc of the one above, numbers there are not those that clone gives.
fn a_proc_of_another_namespace_is_understood(bed: &Bed) {
    let rootfs = fixture("busybox");
    let args = ["--rootfs", rootfs.to_str().unwrap(), "--read-only", "--userns", "auto"];
    let hotcell = bed.command("run", args.iter().chain(&["id", "-u"]));
    let mut apart = std::process::Command::new("unshare");
    apart.args(["--pid", "--fork"]).arg(hotcell.get_program()).args(hotcell.get_args());
    apart.envs(hotcell.get_envs().filter_map(|(name, value)| Some((name, value?))));
    assert_eq!(crate::bed::Ran::from(apart.output().unwrap()).ok(), "0\n");
}

fn what_makes_no_sense_is_refused(bed: &Bed) {
    for (flags, text) in [
        (&["--userns", "0:65536"][..], "65536"),
        (&["--userns", "auto", "-u", "65536:0", "--read-only"], "user \"65536\""),
        (&["--userns", "100000:100"], "100000:100"),
        (&["--userns", "keep-id"], "keep-id"),
        (&["--userns", "100000:65536", "--group-add", "70000", "--read-only"], "70000"),
        (
            &["--userns", "auto", "--read-only", "--cap-add", "SYS_ADMIN", "-v", "/etc:/data:ro"],
            "/data read-only",
        ),
        (&["--userns", "auto", "-v", "/etc:/sys/firmware"], "hidden from cells"),
    ] {
        let ran = bed.sh(flags, "true");
        assert!(ran.code == Some(125) && ran.err.contains(text), "{ran:?}");
        assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
    }
    let rootfs = fixture("busybox");
    let dir = bed.path("bundle");
    let args = ["--bundle-dir", dir.to_str().unwrap(), "--rootfs", rootfs.to_str().unwrap()];
    let more = ["--userns", "auto", "true"];
    let ran =
        crate::bed::Ran::from(bed.command("bundle", args.iter().chain(&more)).output().unwrap());
    assert!(ran.code == Some(125) && ran.err.contains("FIRST:COUNT"), "{ran:?}");
}

fn limits_hold(bed: &Bed) {
    for flags in modes(&["--pids-limit", "10"]) {
        let ran = bed.sh(&flags, "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 1 & done; wait");
        assert!(ran.err.contains("fork"), "{ran:?}");
    }
    for flags in modes(&["-m", "16m", "--tmpfs", "/t"]) {
        let ran = bed.sh(&flags, "head -c 64m /dev/zero > /t/big");
        assert!(ran.code == Some(137) || ran.err.contains("limit"), "{ran:?}");
    }
    let ran = bed.sh(
        &["--userns", "auto", "--read-only", "--ulimit", "nofile=77:88"],
        "ulimit -n; ulimit -Hn",
    );
    assert_eq!(ran.ok(), "77\n88\n");
}

fn a_killed_drivers_ids_are_free_again(bed: &Bed) {
    let ids = bed.options().state_dir.join("ids");
    let taken = || std::fs::read_dir(&ids).map_or(0, |entries| entries.count());
    let mut child = bed.spawn_sh(&["--userns", "auto", "--upper", "disk"], "sleep 60");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while taken() == 0 {
        assert!(std::time::Instant::now() < deadline, "no ids were taken");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(taken(), 1);
    let driver = bed.driver();
    assert_eq!(taken(), 0, "the sweep frees them");
    let mut config = script("true");
    config.upper = hotcell::bundle::Upper::Disk;
    config.user_namespace = UserNamespace::Auto;
    assert_eq!(finish(&driver, &config).exit.shell_code(), 0);
    assert_eq!(taken(), 0, "and so does the end");
}

//! Devices: the six that every cell has, those it is given, and none besides.

use std::os::unix::fs::chown;
use std::path::PathBuf;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use crate::bed::{Bed, listing};
use crate::escape::spoiled;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(the_six_work_and_no_other, Cells, Busybox),
        test!(dev_is_made_by_us_alone, Cells, Busybox),
        test!(a_device_works_with_the_accesses_given, Cells, Busybox),
        test!(a_device_may_stand_in_the_root_itself, Cells, Busybox),
        test!(no_node_comes_to_stand_in_a_volume, Cells, Busybox),
        test!(a_rule_grants_without_a_node, Cells, Busybox),
        test!(what_is_no_device_is_refused_in_one_line, Cells, Busybox),
    ]
}

/// What the shell says when the cell may not open a device.
const DENIED: &str = "Operation not permitted";
/// What it says when the cell may, and there is no driver: nothing on the host is touched.
const NOBODY: &str = "No such device or address";
/// A number in the memory devices' range that no kernel has used since 2004.
const UNUSED: (u32, u32) = (1, 12);

fn the_six_work_and_no_other(bed: &Bed) {
    let script = "
        for n in null zero full random urandom; do
            head -c 1 /dev/$n >/dev/null || echo cannot read $n
        done
        for n in null zero random urandom; do echo x > /dev/$n || echo cannot write $n; done
        # Without a terminal there is nothing behind it, but it may be asked.
        head -c 1 /dev/tty 2>&1 | grep -q 'No such device or address' || echo no tty
        for d in 'b 8 0' 'c 1 1' 'c 10 232' 'c 10 200' 'c 1 2' 'c 1 4' 'c 4 0' 'b 7 0'; do
            mknod /tmp/d $d || echo cannot make $d
            for how in 'head -c 1 /tmp/d' 'dd if=/dev/null of=/tmp/d'; do
                $how 2>&1 | grep -q 'Operation not permitted' || echo opened $d: $how
            done
            rm /tmp/d
        done";
    for flags in [&["--init"][..], &[]] {
        assert_eq!(bed.sh(flags, script).ok(), "");
    }
}

fn dev_is_made_by_us_alone(bed: &Bed) {
    let root = spoiled(bed, "root", |root| {
        std::fs::create_dir_all(root.join("dev/shm")).unwrap();
        std::fs::write(root.join("dev/evil"), "x").unwrap();
        let _ = std::fs::remove_file(root.join("dev/null"));
        std::os::unix::fs::symlink("/proc/sysrq-trigger", root.join("dev/null")).unwrap();
    });
    let args = ["--rootfs", root.to_str().unwrap(), "--", "sh", "-c"];
    let script = "ls -A /dev /dev/shm | tr '\\n' ' '; stat -c '%F %t:%T %a %u:%g' /dev/null
                  readlink /dev/ptmx";
    let out = bed.run(args.iter().chain(&[script])).ok();
    assert_eq!(
        out,
        "/dev: fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero  \
         /dev/shm: character special file 1:3 666 0:0\npts/ptmx\n"
    );
}

fn a_device_may_stand_in_the_root_itself(bed: &Bed) {
    let devices = ["--device", "/dev/zero:/zero", "--device", "/dev/full:/more/full"];
    for flags in [&["--upper", "disk"][..], &["--upper", "tmpfs"], &["--read-only"]] {
        let flags: Vec<_> = flags.iter().chain(&devices).copied().collect();
        let script = "head -c 1 /zero | wc -c; stat -c '%F %t:%T' /zero /more/full";
        let file = "character special file";
        assert_eq!(bed.sh(&flags, script).ok(), format!("1\n{file} 1:5\n{file} 1:7\n"));
    }
}

/// A node on the host's side; nobody opens it there.
fn node(bed: &Bed) -> PathBuf {
    let path = bed.path("device");
    let device = makedev(UNUSED.0, UNUSED.1);
    mknodat(CWD, &path, FileType::CharacterDevice, Mode::from_raw_mode(0o640), device).unwrap();
    chown(&path, Some(7), Some(8)).unwrap();
    path
}

fn a_device_works_with_the_accesses_given(bed: &Bed) {
    let path = node(bed);
    let script = |at: &str| {
        format!(
            "stat -c '%F %t:%T %a %u:%g' {at}; head -c 1 {at} 2>&1; dd if=/dev/null of={at} 2>&1; true"
        )
    };
    for (access, read, write) in [
        (":rwm", NOBODY, NOBODY),
        ("", NOBODY, NOBODY),
        (":r", NOBODY, DENIED),
        (":w", DENIED, NOBODY),
        (":m", DENIED, DENIED),
    ] {
        let flag = format!("{}:/dev/sub/mine{access}", path.display());
        let out = bed.sh(&["--device", &flag], &script("/dev/sub/mine")).ok();
        let lines: Vec<_> = out.lines().collect();
        assert_eq!(lines[0], "character special file 1:c 640 7:8", "{out}");
        assert!(lines[1].ends_with(read) && lines[2].ends_with(write), "{access}: {out}");
    }
    // The same path inside, when none is given.
    let at = path.display().to_string();
    let out = bed.sh(&["--device", &at], &script(&at)).ok();
    assert!(out.contains(NOBODY), "{out}");
    // A cell beside it that wasn't given it.
    let out = bed.sh(&[], "mknod /tmp/d c 1 12; head -c 1 /tmp/d 2>&1; true").ok();
    assert!(out.contains(DENIED), "{out}");
}

/// An image that leads a volume over the cell's /dev.
fn no_node_comes_to_stand_in_a_volume(bed: &Bed) {
    let volume = bed.path("volume");
    std::fs::create_dir(&volume).unwrap();
    let root = spoiled(bed, "root", |root| {
        std::os::unix::fs::symlink("/dev", root.join("data")).unwrap();
    });
    let flags = [
        format!("--rootfs={}", root.display()),
        format!("--volume={}:/data", volume.display()),
        format!("--device={}:/dev/sub/one", node(bed).display()),
        "--device=/dev/null:/dev/two".to_owned(),
    ];
    let args = flags.iter().map(String::as_str).chain(["--", "true"]);
    // What hides the kernel's files is gone then, and without it the cell doesn't start.
    let ran = bed.run(args);
    assert!(ran.code == Some(125) && ran.err.contains("hide /proc/"), "{ran:?}");
    assert_eq!(listing(&volume), [""; 0]);
}

fn a_rule_grants_without_a_node(bed: &Bed) {
    let script = "mknod /tmp/d c 1 12; head -c 1 /tmp/d 2>&1; dd if=/dev/null of=/tmp/d 2>&1
                  mknod /tmp/e c 1 1; head -c 1 /tmp/e 2>&1; true";
    for (rule, read, write) in
        [("c 1:12 r", NOBODY, DENIED), ("c 1:12 w", DENIED, NOBODY), ("b 1:12 rw", DENIED, DENIED)]
    {
        let out = bed.sh(&["--device-cgroup-rule", rule], script).ok();
        let lines: Vec<_> = out.lines().collect();
        assert!(lines[0].ends_with(read) && lines[1].ends_with(write), "{rule}: {out}");
        assert!(lines[2].ends_with(DENIED), "{rule}: {out}");
    }
}

fn what_is_no_device_is_refused_in_one_line(bed: &Bed) {
    let null = "/dev/null:/dev/";
    let twice = [format!("{null}x"), format!("{null}x")];
    for (flag, value, part) in [
        ("--device", "/dev", "is a directory"),
        ("--device", "/etc/passwd", "is no device"),
        ("--device", "/dev/no-such-device", "/dev/no-such-device"),
        ("--device", "/dev/null:/dev/x:rwx", "rwx"),
        ("--device", "/dev/null:/dev/../x", ".."),
        ("--device", "/dev/null:/dev/zero", "another device's"),
        ("--device-cgroup-rule", "c 1:3", "c 1:3"),
        ("--device-cgroup-rule", "p 1:3 r", "p 1:3 r"),
        ("--device-cgroup-rule", "c 1:3 rwx", "rwx"),
    ] {
        let ran = bed.sh(&[flag, value], "echo ran");
        assert!(ran.code == Some(125) && ran.out.is_empty(), "{value}: {ran:?}");
        assert!(ran.err.contains(part) && ran.err.lines().count() == 1, "{value}: {ran:?}");
    }
    let ran = bed.sh(&["--device", &twice[0], "--device", &twice[1]], "true");
    assert!(ran.code == Some(125) && ran.err.contains("is taken"), "{ran:?}");
}

//! Hostile roots, paths and programs: refused or contained, with a canary outside that stays as it
//! was.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::bed::{Bed, listing};
use crate::host::fixture;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(links_in_the_root_lead_nowhere_else, Cells, Busybox),
        test!(a_working_directory_outside_is_refused, Cells, Busybox),
        test!(the_init_is_out_of_reach, Cells, Busybox),
        test!(the_host_is_out_of_reach, Cells, Busybox),
        test!(device_nodes_are_of_no_use, Cells, Busybox),
        test!(a_user_namespace_lifts_no_limit, Cells, Debian, Pids),
        test!(keyrings_are_out_of_reach, Cells, Debian),
        test!(a_volume_over_dev_is_refused_untouched, Cells, Busybox),
        test!(host_sockets_are_dead_in_a_host_root, Cells, Debian),
        test!(other_cells_state_is_hidden_from_a_host_root, Cells),
    ]
}

/// A copy of the busybox root to spoil.
pub fn spoiled(bed: &Bed, name: &str, spoil: impl FnOnce(&Path)) -> PathBuf {
    let root = bed.path(name);
    let copied =
        std::process::Command::new("cp").arg("-a").arg(fixture("busybox")).arg(&root).status();
    assert!(copied.unwrap().success());
    spoil(&root);
    root
}

fn replace(path: &Path, target: &Path) {
    let _ = std::fs::remove_dir_all(path);
    symlink(target, path).unwrap();
}

fn links_in_the_root_lead_nowhere_else(bed: &Bed) {
    let canary = bed.path("canary");
    std::fs::create_dir_all(canary.join("inner")).unwrap();
    std::fs::write(canary.join("inner/file"), "as it was").unwrap();
    let before = listing(&canary);
    let up = PathBuf::from("../../../../../../../../..").join(canary.strip_prefix("/").unwrap());
    for (at, link) in [canary.clone(), up].iter().enumerate() {
        for part in ["proc", "sys", "dev", "etc", "tmp", "data"] {
            let root =
                spoiled(bed, &format!("root-{at}-{part}"), |root| replace(&root.join(part), link));
            for upper in ["tmpfs", "disk"] {
                let volume =
                    format!("{}:/data/made/here", fixture("busybox").join("etc").display());
                let args = [
                    "--rootfs",
                    root.to_str().unwrap(),
                    "--upper",
                    upper,
                    "-v",
                    &volume,
                    "--tmpfs",
                    "/tmp/made",
                    "--tmpfs",
                    "/etc/made",
                    "--",
                    "true",
                ];
                let ran = bed.run(args);
                // A link in place of /proc, /sys or /dev is refused; elsewhere it means a place in
                // the root, which may be missing.
                if ["proc", "sys", "dev"].contains(&part) {
                    assert!(ran.code == Some(125) && ran.err.contains(part), "{ran:?}");
                }
                assert_eq!(listing(&canary), before, "{part} -> {}", link.display());
            }
        }
    }
}

fn a_working_directory_outside_is_refused(bed: &Bed) {
    let root = spoiled(bed, "root", |root| {
        symlink("/proc/self/fd/3", root.join("three")).unwrap();
        symlink("/proc/1/root", root.join("one")).unwrap();
    });
    let mut dirs: Vec<_> = (0..20).map(|n| format!("/proc/self/fd/{n}")).collect();
    dirs.extend(["/three".to_owned(), "/one/..".to_owned(), "/proc/1/cwd".to_owned()]);
    for dir in dirs {
        let args =
            ["--rootfs", root.to_str().unwrap(), "-w", &dir, "--", "sh", "-c", "pwd; ls /.."];
        let ran = bed.run(args);
        assert_eq!(ran.code, Some(125), "{dir}: {ran:?}");
        assert!(ran.err.contains(&dir), "{ran:?}");
    }
}

fn the_init_is_out_of_reach(bed: &Bed) {
    let script = "
        for f in exe cwd root fd/3 fd/4; do
            readlink /proc/1/$f && echo followed $f
        done
        for f in exe maps environ auxv; do
            cat /proc/1/$f >/dev/null 2>&1 && echo read $f
            echo x 2>/dev/null >> /proc/1/$f && echo wrote $f
        done
        # The same looks at itself must work, or the ones above prove nothing.
        readlink /proc/self/cwd >/dev/null && cat /proc/self/maps >/dev/null || echo blind
        kill -9 1; kill -STOP 1; echo alive; true";
    assert_eq!(bed.sh(&["--init"], script).ok(), "alive\n");
    // Nor does it hold anything but its sockets.
    let out = bed.sh(&["--init", "-u", "1000:1000"], "ls /proc/1/fd 2>/dev/null | wc -l").ok();
    assert_eq!(out, "0\n");
}

fn the_host_is_out_of_reach(bed: &Bed) {
    let script = "
        try() {
            command -v $1 >/dev/null || echo \"no $1 here\"
            \"$@\" >/dev/null 2>&1 && echo \"did: $*\"
        }
        mkdir /mnt
        try mount -t tmpfs none /mnt
        try mount -o remount,rw /proc/sys
        try umount /proc
        try pivot_root / /mnt
        try chroot / mount -t proc proc /mnt
        try unshare -m true
        try unshare -n true
        try unshare -U true
        try hostname other
        try dmesg -c
        try swapoff -a
        try reboot -f
        try nsenter -t 1 -m true
        try ip link add dummy0 type dummy
        try sh -c 'echo b > /proc/sysrq-trigger'
        true";
    assert_eq!(bed.sh(&["--init"], script).ok(), "");
}

/// Nodes can be made, as under Docker, and of the host's devices none can be opened.
fn device_nodes_are_of_no_use(bed: &Bed) {
    let script = "
        try() { mknod /tmp/d $1 $2 $3 || echo unmade; (head -c 1 /tmp/d || true) 2>&1; rm /tmp/d; }
        try b 7 0; try c 1 1; try c 1 11; try c 5 1; try c 10 229";
    for init in [&["--init"][..], &[]] {
        let out = bed.sh(init, script).ok();
        assert_eq!(out, "head: /tmp/d: Operation not permitted\n".repeat(5));
    }
}

/// In a namespace of its own, root could mount the hierarchies and write to its own files there.
fn a_user_namespace_lifts_no_limit(bed: &Bed) {
    let code = "
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
def no(call, *args):
    assert libc[call](*args) == -1 and ctypes.get_errno() == errno.EPERM, (call, args)
no('unshare', 0x10000000)
no('unshare', 0x10020000)
no('syscall', 56 if os.uname().machine == 'x86_64' else 220, 0x10000011, 0, 0, 0, 0)
assert libc.syscall(435, 0, 0) == -1 and ctypes.get_errno() == errno.ENOSYS
pid = os.fork()
if pid == 0: os._exit(3)
assert os.waitpid(pid, 0)[1] == 3 << 8
import threading
thread = threading.Thread(target=print, args=('threads and forks work',))
thread.start(); thread.join()";
    for init in [&["--init"][..], &[]] {
        let rootfs = fixture("debian");
        let args = ["--rootfs", rootfs.to_str().unwrap(), "--pids-limit", "16"];
        let ran = bed.run(args.iter().chain(init).chain(&["--", "python3", "-c", code]));
        assert_eq!(ran.ok(), "threads and forks work\n");
    }
}

fn keyrings_are_out_of_reach(bed: &Bed) {
    let code = "
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
for number, args in ((250, (0, -3, 0)), (248, (b'user', b'x', b'y', 1, -4)), (249, (b'user', b'x', 0, 0))):
    assert libc.syscall(number, *args) == -1, number
    print(errno.errorcode[ctypes.get_errno()])";
    let rootfs = fixture("debian");
    let args = ["--rootfs", rootfs.to_str().unwrap(), "--", "python3", "-c", code];
    // The numbers are x86-64's.
    if cfg!(target_arch = "x86_64") {
        assert_eq!(bed.run(args).ok(), "EPERM\nEPERM\nEPERM\n");
    }
}

fn a_volume_over_dev_is_refused_untouched(bed: &Bed) {
    let dir = bed.path("dev");
    std::fs::create_dir(&dir).unwrap();
    for target in ["/dev", "/dev/", "/proc", "/sys"] {
        let ran = bed.sh(&["-v", &format!("{}:{target}", dir.display())], "true");
        assert!(ran.code == Some(125) && ran.err.contains("is taken"), "{ran:?}");
    }
    // A link in the image leads there too, and finds the cell's own devices.
    let root = spoiled(bed, "root", |root| symlink("/dev", root.join("data")).unwrap());
    let volume = format!("{}:/data", dir.display());
    let args = ["--rootfs", root.to_str().unwrap(), "-v", &volume, "--", "true"];
    let _ = bed.run(args);
    assert_eq!(listing(&dir), [""; 0]);
}

/// A read-only view of the host's root must not lead to the programs that listen on it.
fn host_sockets_are_dead_in_a_host_root(bed: &Bed) {
    let path = Path::new("/var/tmp").join(format!("hotcell-test-{}.sock", std::process::id()));
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let code = format!(
        "import socket\ntry: socket.socket(socket.AF_UNIX).connect({path:?}); print('connected')\n\
         except OSError as error: print('refused')"
    );
    let outs = ["--read-only", "--upper=tmpfs"]
        .map(|how| bed.run(["--rootfs", "/", how, "--", "python3", "-c", &code]).out);
    drop(listener);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(outs, ["refused\n", "refused\n"]);
}

fn other_cells_state_is_hidden_from_a_host_root(bed: &Bed) {
    let state = bed.options().state_dir;
    let args = ["--rootfs", "/", "--", "ls", "-A", state.to_str().unwrap()];
    let ran = bed.run(args);
    // A cell sees the host's root file system alone: a state on another mount is not there at all.
    use std::os::unix::fs::MetadataExt;
    let device = |path: &Path| std::fs::metadata(path).unwrap().dev();
    if device(Path::new("/")) == device(&state) {
        assert_eq!(ran.ok(), "");
    } else {
        assert!(ran.out.is_empty() && ran.err.contains("No such file"), "{ran:?}");
    }
}

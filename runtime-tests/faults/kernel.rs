//! Kernels that lack a call, played by a filter on the whole process: hotcell refuses and names the
//! call and the kernel it needs, or does without it as documented; and `doctor` says the same.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::bed::{Bed, PROGRAM, Ran};
use crate::embedder::player;
use crate::host::fixture;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(a_missing_call_is_refused_by_name_or_not_needed, Cells, Busybox),
        test!(a_missing_call_never_opens_a_way_around, Cells, Busybox),
    ]
}

/// What comes of a missing call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Without {
    /// No cell starts.
    Refused,
    /// Cells start; what else is missing is told when it is asked for.
    Works,
}

use Without::{Refused, Works};

const CALLS: [(&str, i64, Without); 18] = [
    ("clone3", libc::SYS_clone3, Refused),
    ("memfd_create", libc::SYS_memfd_create, Refused),
    ("execveat", libc::SYS_execveat, Refused),
    ("close_range", libc::SYS_close_range, Refused),
    ("openat2", libc::SYS_openat2, Refused),
    ("fsopen", libc::SYS_fsopen, Works),
    ("fsconfig", libc::SYS_fsconfig, Works),
    ("fsmount", libc::SYS_fsmount, Works),
    ("open_tree", libc::SYS_open_tree, Refused),
    ("move_mount", libc::SYS_move_mount, Refused),
    ("mount_setattr", libc::SYS_mount_setattr, Refused),
    ("pivot_root", libc::SYS_pivot_root, Refused),
    ("setns", libc::SYS_setns, Refused),
    ("unshare", libc::SYS_unshare, Refused),
    ("bpf", libc::SYS_bpf, Refused),
    ("seccomp", libc::SYS_seccomp, Refused),
    ("pidfd_open", libc::SYS_pidfd_open, Works),
    ("pidfd_send_signal", libc::SYS_pidfd_send_signal, Works),
];

/// The program on a kernel that lacks the call.
fn without(bed: &Bed, number: i64, args: &[&str]) -> Ran {
    let mut command = player(bed, &format!("fault-without-{number}"));
    let options = bed.options();
    command
        .env("PLAY_ARGS", args.join("\n"))
        .env("HOTCELL_STATE_DIR", &options.state_dir)
        .env("HOTCELL_DATA_DIR", &options.data_dir)
        .env("HOTCELL_CGROUP_PARENT", &options.cgroup_parent);
    Ran::from(command.output().unwrap())
}

fn a_missing_call_is_refused_by_name_or_not_needed(bed: &Bed) {
    let rootfs = fixture("busybox");
    for (name, number, what) in CALLS {
        for flags in [&["--init", "--upper", "disk"][..], &["--upper", "tmpfs"]] {
            let command = ["--rootfs", rootfs.to_str().unwrap(), "--", "sh", "-c", "exit 7"];
            let ran = without(bed, number, &[&["run"], flags, &command].concat());
            match what {
                Works => assert_eq!(ran.code, Some(7), "{name}: {ran:?}"),
                Refused => {
                    assert_eq!(ran.code, Some(125), "{name}: {ran:?}");
                    let told = [name, "5.14", "Function not implemented"];
                    assert!(told.iter().all(|told| ran.err.contains(told)), "{name}: {ran:?}");
                    assert_eq!(ran.err.lines().count(), 1, "{name}: {ran:?}");
                }
            }
        }
        let doctor = without(bed, number, &["doctor"]);
        let verdict = doctor.out.lines().last().unwrap_or_default().to_owned();
        assert!(verdict.starts_with("trial-cell"), "{name}: {doctor:?}");
        match what {
            Works => assert_eq!(doctor.code, Some(0), "{name}: {doctor:?}"),
            Refused => {
                assert_ne!(doctor.code, Some(0), "{name}: {doctor:?}");
                assert!(verdict.contains(name) && verdict.contains("5.14"), "{name}: {verdict}");
            }
        }
    }
}

/// Whatever is missing, what a cell could get at by it stays out of its reach.
fn a_missing_call_never_opens_a_way_around(bed: &Bed) {
    let rootfs = fixture("busybox");
    let outside = bed.path("outside");
    std::fs::write(&outside, "host").unwrap();
    for (name, number, _) in CALLS {
        for flags in [&["--read-only"][..], &["--userns", "auto", "--upper", "disk"]] {
            let script = format!("cat {}; cat /proc/kcore | head -c1 | wc -c", outside.display());
            let command = ["--rootfs", rootfs.to_str().unwrap(), "--", "sh", "-c", &script];
            let ran = without(bed, number, &[&["run"], flags, &command].concat());
            let refused = ran.code == Some(125) && ran.out.is_empty();
            let contained = ran.code == Some(0) && ran.out == "0\n";
            assert!(refused || contained, "{name}: {ran:?}");
        }
    }
}

/// Loads the filter and becomes the program.
pub fn play(number: &str) {
    refuse(number.parse().unwrap());
    let args = std::env::var("PLAY_ARGS").unwrap();
    let error = Command::new(PROGRAM).args(args.split('\n')).exec();
    panic!("{error}");
}

/// From here on the call is one that this kernel doesn't know.
#[allow(unsafe_code, reason = "a filter needs libc")]
fn refuse(number: u32) {
    let code = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut program = [
        // The number of the call.
        code(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        code(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, number),
        code(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
        code(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: a program of the length given, which outlives the call.
    let loaded =
        unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    assert_eq!(loaded, 0, "{}", std::io::Error::last_os_error());
}

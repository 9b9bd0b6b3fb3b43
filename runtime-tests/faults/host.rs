//! Hosts that lack something: told by name, by a start and by `doctor`.

use std::process::Command;

use hotcell::cgroup::{Controller, Hierarchies};
use hotcell::launch::Stdio;
use hotcell::native::{Instance, Options};

use super::left;
use super::story::chain;
use crate::bed::{Bed, Ran, script};
use crate::embedder::played;
use crate::host::fixture;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(a_read_only_state_directory_is_told, Cells, Busybox),
        test!(a_missing_controller_is_told_by_the_limit_that_needs_it, Cells, Busybox, Pids),
        test!(a_missing_cgroup_tree_is_told, Cells, Busybox),
        test!(a_missing_proc_is_told, Cells, Busybox),
        test!(a_limit_on_processes_is_told, Cells, Busybox, Pids),
    ]
}

/// `hotcell` where a shell has changed the mounts of a view of its own.
fn on_host(bed: &Bed, change: &str, verb: &str, flags: &[&str]) -> Ran {
    let rootfs = fixture("busybox");
    let command = ["--rootfs", rootfs.to_str().unwrap(), "--", "sh", "-c", "exit 7"];
    let args = match verb {
        "run" => flags.iter().chain(&command).copied().collect(),
        _ => flags.to_vec(),
    };
    let inner = bed.command(verb, args);
    let mut shell = Command::new("unshare");
    let script = format!("{change} && exec \"$@\"");
    shell.args(["--mount", "--propagation", "private", "sh", "-c", &script, "sh"]);
    shell.arg(inner.get_program()).args(inner.get_args());
    inner.get_envs().for_each(|(key, value)| {
        shell.env(key, value.unwrap());
    });
    Ran::from(shell.output().unwrap())
}

/// Refused in one line with these words; `doctor` has the same line last, and these words too.
#[track_caller]
fn refused(bed: &Bed, change: &str, flags: &[&str], words: &[&str], doctors: &[&str]) {
    let ran = on_host(bed, change, "run", flags);
    assert_eq!(ran.code, Some(125), "{ran:?}");
    assert!(words.iter().all(|word| ran.err.contains(word)), "{ran:?}");
    assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
    let doctor = on_host(bed, change, "doctor", &[]);
    assert!(doctors.iter().all(|word| doctor.out.contains(word)), "{doctor:?}");
}

fn a_read_only_state_directory_is_told(bed: &Bed) {
    let state = bed.options().state_dir;
    std::fs::create_dir(&state).unwrap();
    std::fs::set_permissions(&state, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let change = format!("mount -t tmpfs -o ro,mode=700 none {}", state.display());
    let words = [state.to_str().unwrap(), "Read-only file system"];
    refused(bed, &change, &[], &words, &["Read-only file system"]);
}

/// A hybrid host has a mount for the controller, a unified one a word in a file.
fn without_pids(bed: &Bed) -> String {
    let hierarchies = Hierarchies::detect().unwrap();
    match hierarchies.v1.get(&Controller::Pids) {
        Some(mount) => format!("umount {}", mount.display()),
        None => {
            let file = bed.path("controllers");
            std::fs::write(&file, "cpu io memory\n").unwrap();
            let there = hierarchies.unified.join("cgroup.controllers");
            format!("mount --bind {} {}", file.display(), there.display())
        }
    }
}

fn a_missing_controller_is_told_by_the_limit_that_needs_it(bed: &Bed) {
    let change = without_pids(bed);
    let words = ["pids.max=20", "needs the cgroup controller \"pids\""];
    refused(bed, &change, &["--pids-limit", "20"], &words, &["pids"]);
    let without = on_host(bed, &change, "run", &[]);
    assert_eq!(without.code, Some(7), "{without:?}");
    let doctor = on_host(bed, &change, "doctor", &[]).out;
    let line = doctor.lines().find(|line| line.contains("pids")).unwrap();
    assert!(line.contains("missing"), "{line}");
}

fn a_missing_cgroup_tree_is_told(bed: &Bed) {
    let unified = Hierarchies::detect().unwrap().unified;
    let change = format!("umount -l {}", unified.display());
    let words = ["no cgroup v2 file system is mounted"];
    refused(bed, &change, &[], &words, &["no cgroup v2 file system is mounted", "mount one"]);
}

fn a_missing_proc_is_told(bed: &Bed) {
    let words = ["is /proc mounted?", "No such file or directory"];
    // In a container another lies below.
    let change = "while umount -l /proc 2>/dev/null; do :; done";
    refused(bed, change, &[], &words, &["/proc/self/mountinfo"]);
}

fn a_limit_on_processes_is_told(bed: &Bed) {
    let out = played(bed, "fault-processes");
    assert_eq!(out, "told\nclean\nworks\n");
}

/// Lets this process have no more children than it has, or its cells where those count.
pub fn play_processes(options: Options) {
    let instance = Instance::open(options.clone()).unwrap();
    let hierarchies = instance.hierarchies().clone();
    let (dir, most) = match hierarchies.v1.get(&Controller::Pids) {
        Some(mount) => {
            let dir = mount.join(format!("{}-embedder", options.cgroup_parent));
            std::fs::create_dir(&dir).unwrap();
            std::fs::write(dir.join("tasks"), "0").unwrap();
            (dir, "1")
        }
        None => (hierarchies.unified.join(&options.cgroup_parent), "0"),
    };
    let start = || instance.create(None, &script("exit 0"), None).unwrap().run(Stdio::default());
    // The first start of a process takes a thread for a moment.
    start().unwrap().close().unwrap();
    std::fs::write(dir.join("pids.max"), most).unwrap();
    let error = chain(&start().unwrap_err());
    assert!(error.contains("clone3 (a limit on processes was reached)"), "{error}");
    println!("told");
    let cells = |found: &String| found.contains(&format!("/{}/", instance.id()));
    let found: Vec<_> = left(&options).into_iter().filter(cells).collect();
    assert!(found.iter().all(|path| path.contains("/.")), "{found:?}");
    println!("clean");
    std::fs::write(dir.join("pids.max"), "max").unwrap();
    start().unwrap().close().unwrap();
    if let Some(mount) = hierarchies.v1.get(&Controller::Pids) {
        std::fs::write(mount.join("tasks"), "0").unwrap();
        std::fs::remove_dir(dir).unwrap();
    }
    println!("works");
}

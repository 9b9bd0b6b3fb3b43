//! Cells that are made, and started later by somebody else, or never.

use std::path::Path;
use std::time::{Duration, Instant};

use hotcell::launch::{Error, Exit, Latch, Place};
use rustix::process::{Pid, Signal, kill_process, set_child_subreaper};

use super::task;
use super::{Made, dir, end};
use crate::bed::Bed;
use crate::embedder::player;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(a_cell_waits_for_its_start_and_is_started_once, Cells, Busybox),
        test!(a_command_that_is_missing_is_told_when_the_cell_is_made, Cells, Busybox),
        test!(a_command_that_cannot_be_executed_is_told_at_the_start, Cells, Busybox),
        test!(a_cell_killed_while_it_waits_leaves_nothing, Cells, Busybox),
        test!(a_cell_waits_on_when_its_maker_has_gone, Cells, Busybox),
        test!(the_task_has_no_part_of_the_latch, Cells, Busybox),
        test!(descriptors_are_handed_on_under_their_numbers, Cells, Busybox),
        test!(descriptors_that_are_not_there_are_refused, Cells, Busybox),
    ]
}

fn latched(dir: &Path) -> Place {
    Place { latch: Some(Latch::create(dir).unwrap()), ..Place::default() }
}

fn a_cell_waits_for_its_start_and_is_started_once(bed: &Bed) {
    let (driver, dir) = (bed.driver(), dir(bed, "latch"));
    let made = Made::new(&driver, &task(["sh", "-c", "echo $$; exit 5"]));
    let (launched, out) = made.launch(latched(&dir)).unwrap();
    let soon = Some(Instant::now() + Duration::from_millis(100));
    assert!(launched.cell.wait(soon).unwrap().is_none(), "it waits");
    let command = std::fs::read(format!("/proc/{}/cmdline", launched.cell.pid())).unwrap();
    assert!(command.is_empty() || !command.starts_with(b"sh"), "{command:?}");
    Latch::release(&dir).unwrap();
    assert_eq!(end((launched, out)), (Exit::Code(5), "1\n".to_owned()));
    assert!(matches!(Latch::release(&dir), Err(Error::NotWaiting { .. })));
    made.close();
}

fn a_command_that_is_missing_is_told_when_the_cell_is_made(bed: &Bed) {
    let driver = bed.driver();
    let told = |name: &str, user: &str| {
        let mut config = task([name]);
        config.user = user.parse().unwrap();
        let made = Made::new(&driver, &config);
        let dir = tempfile::tempdir_in(bed.path("")).unwrap();
        let error = made.launch(latched(dir.path())).unwrap_err();
        made.close();
        (error.to_string(), error.exec_errno())
    };
    let not_in_path = "exec: \"xyz\": executable file not found in $PATH";
    assert_eq!(told("xyz", "0"), (not_in_path.to_owned(), Some(libc::ENOENT)));
    let missing = "exec: \"/bin/xyz\": stat /bin/xyz: no such file or directory";
    assert_eq!(told("/bin/xyz", "0"), (missing.to_owned(), Some(libc::ENOENT)));
    for user in ["0", "7"] {
        let denied = "exec: \"/etc/passwd\": permission denied";
        assert_eq!(told("/etc/passwd", user), (denied.to_owned(), Some(libc::EACCES)));
    }
    let directory = "exec: \"/etc\": is a directory";
    assert_eq!(told("/etc", "0"), (directory.to_owned(), Some(libc::EISDIR)));
}

fn a_command_that_cannot_be_executed_is_told_at_the_start(bed: &Bed) {
    use std::os::unix::fs::PermissionsExt;
    let (driver, dir) = (bed.driver(), dir(bed, "latch"));
    let odd = bed.path("odd");
    std::fs::write(&odd, "\x7fNOT").unwrap();
    std::fs::set_permissions(&odd, PermissionsExt::from_mode(0o755)).unwrap();
    let mut config = task(["/odd"]);
    config.volumes = vec![format!("{}:/odd:ro", odd.display()).parse().unwrap()];
    let made = Made::new(&driver, &config);
    let (launched, out) = made.launch(latched(&dir)).unwrap();
    let error = Latch::release(&dir).unwrap_err();
    assert_eq!(error.to_string(), "cannot execute \"/odd\"");
    assert_eq!(error.exec_errno(), Some(libc::ENOEXEC));
    assert_eq!(end((launched, out)).0, Exit::Code(127));
    made.close();
}

fn a_cell_killed_while_it_waits_leaves_nothing(bed: &Bed) {
    let driver = bed.driver();
    for through_cgroup in [true, false] {
        let dir = tempfile::tempdir_in(bed.path("")).unwrap();
        let made = Made::new(&driver, &task(["sh", "-c", "true"]));
        let (launched, out) = made.launch(latched(dir.path())).unwrap();
        match through_cgroup {
            true => made.cgroup().kill().unwrap(),
            false => launched.cell.kill().unwrap(),
        }
        assert_eq!(end((launched, out)), (Exit::Signal(9), String::new()));
        assert!(matches!(Latch::release(dir.path()), Err(Error::NotWaiting { .. })));
        made.close();
    }
}

/// What a command does that makes a cell and ends.
pub fn play(driver: &hotcell::native::Instance) {
    let dir = std::env::var_os("PLAY_LATCH").unwrap();
    let made = Made::new(driver, &task(["sh", "-c", "cat /etc/hostname > /dev/null; sleep 60"]));
    let (launched, _) = made.launch(latched(Path::new(&dir))).unwrap();
    println!("{}", launched.cell.pid());
    std::process::exit(0);
}

fn a_cell_waits_on_when_its_maker_has_gone(bed: &Bed) {
    let dir = dir(bed, "latch");
    set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let output = player(bed, "latch").env("PLAY_LATCH", &dir).output().unwrap();
    set_child_subreaper(None).unwrap();
    assert!(output.status.success(), "{output:?}");
    let pid: i32 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    std::thread::sleep(Duration::from_millis(50));
    Latch::release(&dir).unwrap();
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    // The shell executes its last command in its place.
    assert!(command.starts_with(b"sh\0") || command.starts_with(b"sleep\0"), "{command:?}");
    let pid = Pid::from_raw(pid).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()).unwrap();
    // The command has left its driver's things: a sweep takes them.
    drop(bed.driver());
}

fn the_task_has_no_part_of_the_latch(bed: &Bed) {
    let (driver, dir) = (bed.driver(), dir(bed, "latch"));
    let made = Made::new(&driver, &task(["sh", "-c", "ls -l /proc/self/fd /proc/1/fd"]));
    let cell = made.launch(latched(&dir)).unwrap();
    Latch::release(&dir).unwrap();
    let (exit, out) = end(cell);
    assert_eq!(exit, Exit::Code(0), "{out}");
    for hidden in ["start", "socket", "mnt:", "tasks", "memfd"] {
        assert!(!out.contains(hidden), "{out}");
    }
    made.close();
}

/// The caller's side: descriptors that an exec left open.
pub fn play_preserved(driver: &hotcell::native::Instance) {
    let count = std::env::var("PLAY_PRESERVED").unwrap().parse().unwrap();
    let made =
        Made::new(driver, &task(["sh", "-c", "cat <&3; cat <&4; ls /proc/self/fd | tr '\\n' ' '"]));
    match made.launch(Place { preserved: count, ..Place::default() }) {
        Ok(cell) => print!("{}", end(cell).1),
        Err(error) => print!("{error}"),
    }
    made.close();
}

/// Runs the caller with descriptors 3 and 4 from the shell.
fn preserved(bed: &Bed, count: u32) -> String {
    let player = player(bed, "preserved");
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "echo three > a; echo four > b; exec 3<a 4<b; exec \"$0\" \"$1\""]);
    shell.arg(player.get_program()).args(player.get_args());
    for (name, value) in player.get_envs() {
        shell.env(name, value.unwrap());
    }
    let output = shell.env("PLAY_PRESERVED", count.to_string()).current_dir(bed.path(""));
    let output = output.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn descriptors_are_handed_on_under_their_numbers(bed: &Bed) {
    // `ls` has one open of its own.
    assert_eq!(preserved(bed, 2), "three\nfour\n0 1 2 3 4 5 ");
}

fn descriptors_that_are_not_there_are_refused(bed: &Bed) {
    let refusal = "descriptor 5 was to be handed on, and this program was not started with it";
    assert_eq!(preserved(bed, 3), refusal);
}

//! Embedders of bad habits: nothing of what they are reaches a cell.
//!
//! A process of the test program takes up a habit (`--play=habit-NAME`), then runs one script in
//! three cells (with and without an init, and with ids of its own) and once as an ordinary child, where the habit must show: a test that could not fail
//! would show nothing.

use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use hotcell::bundle::{Upper, UserNamespace, spec};
use hotcell::launch::{Exit, Stdio, Stream};
use hotcell::native::Instance;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::bed::{Bed, script};
use crate::embedder::played;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(nice_values_stay_outside, Cells, Busybox),
        test!(scheduling_classes_stay_outside, Cells, Busybox),
        test!(io_priorities_stay_outside, Cells, Busybox),
        test!(timer_slack_stays_outside, Cells, Busybox),
        test!(personalities_stay_outside, Cells, Busybox),
        test!(a_dislike_of_huge_pages_stays_outside, Cells, Busybox),
        test!(chosen_cpus_stay_outside, Cells, Busybox),
        test!(chosen_memory_nodes_stay_outside, Cells, Busybox),
        test!(a_umask_stays_outside, Cells, Busybox),
        test!(an_out_of_memory_score_stays_outside, Cells, Busybox),
        test!(blocked_and_ignored_signals_stay_outside, Cells, Busybox),
        test!(open_files_stay_outside, Cells, Busybox),
        test!(a_deleted_directory_stays_outside, Cells, Busybox),
        test!(the_environment_stays_outside, Cells, Busybox),
        test!(securebits_stay_outside_or_are_told, Cells, Busybox),
        test!(inherited_capabilities_stay_outside, Cells, Busybox),
        test!(a_wish_for_core_files_stays_outside, Cells, Busybox),
        test!(a_session_keyring_stays_outside, Cells, Debian),
        test!(a_keyring_that_cannot_be_left_is_told, Cells, Busybox),
        test!(all_habits_at_once_stay_outside, Cells, Busybox),
    ]
}

/// A habit: its name, how it is taken up, a script that tells of it, and what the script must say in
/// a cell.
type Habit = (&'static str, fn(), &'static str, &'static str);

const SCHEDULING: &str = "cut -d' ' -f19,40,41 /proc/self/stat";
const ORDINARY: &str = "0 0 0\n";

const HABITS: [Habit; 19] = [
    ("nice", || nice(10), SCHEDULING, ORDINARY),
    ("eager", || nice(-5), SCHEDULING, ORDINARY),
    ("fifo", || schedule(libc::SCHED_FIFO, 5), SCHEDULING, ORDINARY),
    ("batch", || schedule(libc::SCHED_BATCH, 0), SCHEDULING, ORDINARY),
    ("idle", || schedule(libc::SCHED_IDLE, 0), SCHEDULING, ORDINARY),
    ("io", || call(libc::SYS_ioprio_set, [1, 0, 2 << 13 | 7]), "ionice", "none: prio 0\n"),
    ("slack", || control(libc::PR_SET_TIMERSLACK, 7_000_000), SLACK, "50000\n"),
    // No address randomization, and a kernel of long ago.
    ("old", || call(libc::SYS_personality, [0x006_0000, 0, 0]), PERSONALITY, "00000000\n"),
    ("small-pages", || control(libc::PR_SET_THP_DISABLE, 1), HUGE_PAGES, "THP_enabled:\t1\n"),
    // "all" stands for the CPUs that the test itself may use.
    ("one-cpu", || call(libc::SYS_sched_setaffinity, [0, 8, &raw const CPU as i64]), CPUS, "all"),
    ("one-node", || call(libc::SYS_set_mempolicy, [2, &raw const CPU as i64, 64]), NODES, NODE),
    ("umask", take_modes_away, MODES, "0022\n755\n"),
    ("oom", || std::fs::write("/proc/self/oom_score_adj", "500").unwrap(), OOM, "0\n"),
    // Behind a pipe: the shell itself ignores a signal.
    ("deaf", deafen, "grep -E '^Sig(Blk|Ign)' /proc/self/status | cat", SIGNALS),
    ("files", open_files, "ls /proc/self/fd | wc -l", "4\n"),
    ("nowhere", go_nowhere, "readlink /proc/self/cwd", "/\n"),
    ("preload", preload, "env | grep -c LD_PRELOAD; true", "0\n"),
    ("no-root", || control(libc::PR_SET_SECUREBITS, 0b101), HELD, DOCKERS),
    ("ambient", ambient, "grep -E '^Cap(Inh|Amb)' /proc/self/status", NO_CAPABILITIES),
];

/// Habits of the considerate.
const LATE: [&str; 3] = ["nice", "batch", "idle"];

/// The cgroup's directories, too, are made under the embedder's umask.
const MODES: &str =
    "umask; find /sys/fs/cgroup -maxdepth 1 -type d -exec stat -c %a {} + | sort -u";
const SLACK: &str = "cat /proc/self/timerslack_ns";
const PERSONALITY: &str = "cat /proc/self/personality";
const CPUS: &str = "grep ^Cpus_allowed_list: /proc/self/status";
const NODES: &str = "cut -d' ' -f2 /proc/self/numa_maps | sort -u";
const HUGE_PAGES: &str = "grep ^THP_enabled: /proc/self/status";
const NODE: &str = "default\n";
const OOM: &str = "cat /proc/self/oom_score_adj";
const SIGNALS: &str = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n";
const HELD: &str = "grep -E '^Cap(Prm|Eff)' /proc/self/status";
const DOCKERS: &str = "CapPrm:\t00000000a80425fb\nCapEff:\t00000000a80425fb\n";
const NO_CAPABILITIES: &str = "CapInh:\t0000000000000000\nCapAmb:\t0000000000000000\n";

/// The first CPU, and the first memory node.
static CPU: u64 = 1;

#[allow(unsafe_code, reason = "bad habits need libc")]
fn call(number: i64, args: [i64; 3]) {
    // SAFETY: numbers, or a pointer to a mask as long as said.
    let answer = unsafe { libc::syscall(number, args[0], args[1], args[2]) };
    assert!(answer >= 0, "{number}: {}", std::io::Error::last_os_error());
}

#[allow(unsafe_code, reason = "bad habits need libc")]
fn control(option: i32, value: u64) {
    // SAFETY: numbers only.
    let answer = unsafe { libc::prctl(option, value, 0, 0, 0) };
    assert!(answer == 0, "{option}: {}", std::io::Error::last_os_error());
}

#[allow(unsafe_code, reason = "bad habits need libc")]
fn nice(value: i32) {
    // SAFETY: numbers only.
    assert_eq!(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, value) }, 0);
}

#[allow(unsafe_code, reason = "bad habits need libc")]
fn schedule(policy: i32, priority: i32) {
    let parameter = libc::sched_param { sched_priority: priority };
    // SAFETY: the structure outlives the call.
    assert_eq!(unsafe { libc::sched_setscheduler(0, policy, &raw const parameter) }, 0);
}

#[allow(unsafe_code, reason = "bad habits need libc")]
fn deafen() {
    // SAFETY: a set of this function's own; nothing waits for a signal.
    unsafe {
        let mut all = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, std::ptr::null_mut());
        for signal in [libc::SIGPIPE, libc::SIGTERM, libc::SIGUSR1, 40] {
            libc::signal(signal, libc::SIG_IGN);
        }
    }
}

#[allow(unsafe_code, reason = "descriptors that survive exec need libc")]
fn open_files() {
    for _ in 0..200 {
        // SAFETY: a plain descriptor, open until the process ends.
        assert!(unsafe { libc::open(c"/".as_ptr(), libc::O_RDONLY) } > 0);
    }
}

fn take_modes_away() {
    rustix::process::umask(0o757.into());
}

fn go_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    std::env::set_current_dir(&dir).unwrap();
}

#[allow(unsafe_code, reason = "the environment belongs to the whole process")]
fn preload() {
    // SAFETY: no other thread runs yet.
    unsafe { std::env::set_var("LD_PRELOAD", "") };
}

fn ambient() {
    use caps::{CapSet, Capability};
    for set in [CapSet::Inheritable, CapSet::Ambient] {
        caps::raise(None, set, Capability::CAP_NET_ADMIN).unwrap();
    }
}

/// The embedder's side.
pub fn play(habit: &str, open: impl FnOnce() -> Instance) {
    match habit {
        "locked" => {
            // "No capabilities for root", for good.
            control(libc::PR_SET_SECUREBITS, 0b11);
            let run = |driver: Instance| -> Result<(), hotcell::native::Error> {
                drop(driver.create(None, &script("true"), None)?.run(Stdio::default())?);
                Ok(())
            };
            println!("{:?}", run(open()).unwrap_err());
        }
        "core" => {
            let (_, hard) = limits();
            rustix::process::setrlimit(
                rustix::process::Resource::Core,
                rustix::process::Rlimit { current: hard, maximum: hard },
            )
            .unwrap();
            ask(&open(), "core", "ulimit -c; ulimit -Hc");
        }
        "keyring" => keyring(open),
        "no-keys" | "no-more-keys" => {
            let driver = open();
            refuse_keyctl(if habit == "no-keys" { libc::ENOSYS } else { libc::EDQUOT });
            let run = || -> Result<Exit, hotcell::native::Error> {
                let mut running =
                    driver.create(None, &script("true"), None)?.run(Stdio::default())?;
                let exit = running.wait(None)?.unwrap().exit;
                running.close()?;
                Ok(exit)
            };
            println!("{:?}", run());
        }
        "all" => {
            HABITS.iter().filter(|habit| !LATE.contains(&habit.0)).for_each(|habit| habit.1());
            let driver = open();
            HABITS.iter().for_each(|habit| ask(&driver, habit.0, habit.2));
        }
        habit => {
            let habit = HABITS.iter().find(|known| known.0 == habit).unwrap();
            habit.1();
            ask(&open(), habit.0, habit.2);
        }
    }
}

/// Whether this process has `CAP_SYS_RESOURCE`.
fn may_lower_scores() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    u64::from_str_radix(effective.trim(), 16).unwrap() & 1 << 24 != 0
}

fn limits() -> (Option<u64>, Option<u64>) {
    let core = rustix::process::getrlimit(rustix::process::Resource::Core);
    (core.current, core.maximum)
}

/// What the script says in a cell.
fn say(driver: &Instance, text: &str, init: bool, ids: UserNamespace) -> String {
    let (from, to) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let mut config = script(text);
    config.init = init;
    config.user_namespace = ids;
    // Before Linux 6.6 ids of its own and a layer in memory do not go together.
    config.upper = Upper::Disk;
    let stdio = Stdio { stdout: Stream::Fd(to), ..Stdio::default() };
    let mut running = driver.create(None, &config, None).unwrap().run(stdio).unwrap();
    let said = read(from);
    assert_eq!(running.wait(None).unwrap().unwrap().exit, Exit::Code(0));
    running.close().unwrap();
    said
}

fn read(from: OwnedFd) -> String {
    let mut text = String::new();
    File::from(from).read_to_string(&mut text).unwrap();
    text
}

/// Prints what the script says to a child of this process and to two cells.
#[allow(unsafe_code, reason = "std's own commands mend some habits on the way")]
fn ask(driver: &Instance, name: &str, text: &str) {
    let said = say(driver, text, true, UserNamespace::Host);
    assert_eq!(said, say(driver, text, false, UserNamespace::Host), "{name}: without an init");
    // There, one who runs after others cannot be moved forward.
    if !LATE.contains(&name) {
        let own_ids = say(driver, text, true, UserNamespace::Auto);
        // Nor can a score be lowered there that somebody with the capability has raised.
        let stays = name == "oom" && may_lower_scores();
        assert_eq!(own_ids, if stays { "500\n" } else { said.as_str() }, "{name}: own ids");
    }
    print!("{name}\n{said}--\n");
    std::io::stdout().flush().unwrap();
    let line = CString::new(text).unwrap();
    // SAFETY: one thread, one string.
    unsafe { libc::system(line.as_ptr()) };
    println!("==");
    std::io::stdout().flush().unwrap();
}

/// What an embedder with this habit saw, by name: inside, and outside.
fn answers(bed: &Bed, habit: &str) -> Vec<[String; 3]> {
    let out = played(bed, &format!("habit-{habit}"));
    let parts = out.split_terminator("==\n").map(|part| {
        let (name, both) = part.split_once('\n').unwrap();
        let (inside, outside) = both.split_once("--\n").unwrap();
        [name, inside, outside].map(ToOwned::to_owned)
    });
    parts.collect()
}

/// What a cell must say.
fn expected(habit: &str) -> String {
    let (.., inside) = HABITS.iter().find(|known| known.0 == habit).unwrap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let cpus = status.lines().find(|line| line.starts_with("Cpus_allowed_list:")).unwrap();
    if *inside == "all" { format!("{cpus}\n") } else { (*inside).to_owned() }
}

#[track_caller]
fn stays_outside(bed: &Bed, habit: &str) {
    let [[_, inside, outside]] = &answers(bed, habit)[..] else { panic!("{habit}: no answer") };
    assert_eq!(*inside, expected(habit), "{habit}");
    assert_ne!(inside, outside, "{habit}: the embedder did not have it");
}

fn nice_values_stay_outside(bed: &Bed) {
    ["nice", "eager"].into_iter().for_each(|habit| stays_outside(bed, habit));
}

fn scheduling_classes_stay_outside(bed: &Bed) {
    ["fifo", "batch", "idle"].into_iter().for_each(|habit| stays_outside(bed, habit));
}

fn io_priorities_stay_outside(bed: &Bed) {
    stays_outside(bed, "io");
}

fn timer_slack_stays_outside(bed: &Bed) {
    stays_outside(bed, "slack");
}

fn personalities_stay_outside(bed: &Bed) {
    stays_outside(bed, "old");
}

fn a_dislike_of_huge_pages_stays_outside(bed: &Bed) {
    stays_outside(bed, "small-pages");
}

fn chosen_cpus_stay_outside(bed: &Bed) {
    stays_outside(bed, "one-cpu");
}

fn chosen_memory_nodes_stay_outside(bed: &Bed) {
    stays_outside(bed, "one-node");
}

fn a_umask_stays_outside(bed: &Bed) {
    stays_outside(bed, "umask");
}

fn an_out_of_memory_score_stays_outside(bed: &Bed) {
    stays_outside(bed, "oom");
}

fn blocked_and_ignored_signals_stay_outside(bed: &Bed) {
    stays_outside(bed, "deaf");
}

fn open_files_stay_outside(bed: &Bed) {
    stays_outside(bed, "files");
}

fn a_deleted_directory_stays_outside(bed: &Bed) {
    stays_outside(bed, "nowhere");
}

fn the_environment_stays_outside(bed: &Bed) {
    stays_outside(bed, "preload");
}

/// Some of them take root's capabilities away at exec. Locked, they can't be put back.
fn securebits_stay_outside_or_are_told(bed: &Bed) {
    stays_outside(bed, "no-root");
    let said = played(bed, "habit-locked");
    assert!(said.contains("securebits") && said.contains("prctl"), "{said}");
}

fn inherited_capabilities_stay_outside(bed: &Bed) {
    stays_outside(bed, "ambient");
}

fn a_wish_for_core_files_stays_outside(bed: &Bed) {
    let [[_, inside, outside]] = &answers(bed, "core")[..] else { panic!("no answer") };
    assert_eq!(inside, "0\n0\n");
    // Where this run may have none, there is nothing to show.
    assert!(outside != inside || limits().1 == Some(0), "{outside}");
}

/// Asked without a system call filter, which hides keyrings besides.
fn a_session_keyring_stays_outside(bed: &Bed) {
    let said = played(bed, "habit-keyring");
    let [own, found, serial] = said.split_whitespace().collect::<Vec<_>>()[..] else {
        panic!("{said}")
    };
    assert!(own.parse::<i32>().unwrap() > 0 && serial.parse::<i32>().unwrap() > 0, "{said}");
    assert_eq!((found, own == serial), ("-126", false), "ENOKEY in a keyring of its own: {said}");
}

/// A kernel without keyrings has none to leave. One that has no room for another would leave the
/// embedder's in the cell.
fn a_keyring_that_cannot_be_left_is_told(bed: &Bed) {
    assert_eq!(played(bed, "habit-no-keys"), "Ok(Code(0))\n");
    let said = played(bed, "habit-no-more-keys");
    let parts = ["keyctl", "122", "index: 0", "leave the embedder's standing"];
    assert!(parts.iter().all(|part| said.contains(part)), "{said}");
}

/// Answers every keyctl of this process and its children.
fn refuse_keyctl(errno: i32) {
    let rules = format!(
        r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {{"names": ["keyctl"], "action": "SCMP_ACT_ERRNO", "errnoRet": {errno}}}]}}"#
    );
    let program = hotcell::seccomp::program(&serde_json::from_str(&rules).unwrap()).unwrap();
    let code = program.instructions();
    let program =
        libc::sock_fprog { len: code.len() as u16, filter: code.as_ptr().cast_mut().cast() };
    call(libc::SYS_seccomp, [1, 0, (&raw const program) as i64]);
}

#[allow(unsafe_code, reason = "keyrings need libc")]
fn keyring(open: impl FnOnce() -> Instance) {
    const JOIN: i64 = 1;
    const SESSION: i64 = -3;
    // SAFETY: strings and their lengths.
    let own = unsafe {
        let own = libc::syscall(libc::SYS_keyctl, JOIN, c"embedder".as_ptr());
        let (kind, name) = (c"user".as_ptr(), c"hotcell-secret".as_ptr());
        assert!(libc::syscall(libc::SYS_add_key, kind, name, c"x".as_ptr(), 1, SESSION) > 0);
        own
    };
    let keyctl = libc::SYS_keyctl;
    let code = format!(
        "import ctypes; libc = ctypes.CDLL(None, use_errno=True)\n\
         found = libc.syscall({keyctl}, 10, -3, b'user', b'hotcell-secret', 0)\n\
         print(-ctypes.get_errno() if found < 0 else found, libc.syscall({keyctl}, 0, -3, 0))"
    );
    let mut config = script("");
    config.rootfs = crate::host::fixture("debian");
    config.args = ["python3", "-c", &code].map(str::to_owned).into();
    let mut spec = spec(&config).unwrap();
    spec.process_mut().as_mut().unwrap().set_no_new_privileges(Some(false));
    spec.linux_mut().as_mut().unwrap().set_seccomp(None);
    let (from, to) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let stdio = Stdio { stdout: Stream::Fd(to), ..Stdio::default() };
    let driver = open();
    let running = driver.create_from_spec(None, spec, None).unwrap().run(stdio).unwrap();
    println!("{own} {}", read(from));
    running.close().unwrap();
}

fn all_habits_at_once_stay_outside(bed: &Bed) {
    let all = answers(bed, "all");
    assert_eq!(all.len(), HABITS.len());
    for [name, inside, _] in all {
        assert_eq!(inside, expected(&name), "{name}");
    }
}

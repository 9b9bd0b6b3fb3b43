//! hotcell inside other programs: ones that reap, ignore, leak, drop or die.
//!
//! A process of the test program plays the embedder (`--play=PART`), because what these change is
//! the whole process's.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio as Pipes};
use std::time::{Duration, Instant};

use hotcell::bundle::{CellConfig, Upper};
use hotcell::launch::{Exit, Stdio, Stream};
use hotcell::native::{Instance, Options};
use rustix::process::{Pid, Signal, kill_process};

use crate::bed::{Bed, finish, script, start};
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(an_exit_is_known_though_sigchld_is_ignored, Cells, Busybox),
        test!(an_exit_is_known_though_another_thread_reaps, Cells, Busybox),
        test!(inherited_descriptors_do_not_reach_the_cell, Cells, Busybox),
        test!(a_crowd_of_descriptors_reaches_no_cell_and_keeps_no_stream_open, Cells, Busybox),
        test!(odd_signal_dispositions_do_not_reach_the_cell, Cells, Busybox),
        test!(closed_standard_streams_do_no_harm, Cells, Busybox),
        test!(a_cell_with_an_init_dies_with_its_embedder, Cells, Busybox),
        test!(what_is_dropped_is_gone, Cells, Busybox),
        test!(a_failed_launch_leaves_nothing, Cells, Busybox),
        test!(many_threads_start_cells_at_once, Cells, Busybox),
        test!(a_running_cell_costs_no_thread_and_two_processes, Cells, Busybox),
        test!(an_init_that_stays_lets_go_of_what_it_built_with, Cells, Busybox),
    ]
}

/// Starts this program as an embedder with the bed's directories.
pub fn player(bed: &Bed, part: &str) -> Command {
    let options = bed.options();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .arg(format!("--play={part}"))
        .env("PLAY_STATE", &options.state_dir)
        .env("PLAY_DATA", &options.data_dir)
        .env("PLAY_PARENT", &options.cgroup_parent)
        .stdin(Pipes::null())
        .stdout(Pipes::piped());
    command
}

pub fn played(bed: &Bed, part: &str) -> String {
    let output = player(bed, part).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The embedder's side.
pub fn play(part: &str) {
    if let Some(part) = part.strip_prefix("store-") {
        return crate::store::play(part);
    }
    let mut options = Options::default();
    options.state_dir = std::env::var_os("PLAY_STATE").unwrap().into();
    options.data_dir = std::env::var_os("PLAY_DATA").unwrap().into();
    options.cgroup_parent = std::env::var("PLAY_PARENT").unwrap();
    if let Some(habit) = part.strip_prefix("habit-") {
        return crate::standing::play(habit, || Instance::open(options).unwrap());
    }
    if let Some(fault) = part.strip_prefix("fault-") {
        return crate::faults::play(fault, options);
    }
    if let Some(part) = part.strip_prefix("killed-") {
        return crate::killed::embedder::play(part, options);
    }
    if let "latch" | "preserved" = part {
        return crate::life::play(part, &Instance::open(options).unwrap());
    }
    if part == "move-aside" {
        return crate::own_place::play(options);
    }
    match part {
        "ignore-sigchld" => set_disposition(libc::SIGCHLD, libc::SIG_IGN),
        "reap-all" => {
            std::thread::spawn(reap_for_ever);
        }
        "ignore-signals" => [libc::SIGPIPE, libc::SIGTERM, libc::SIGUSR1]
            .into_iter()
            .for_each(|signal| set_disposition(signal, libc::SIG_IGN)),
        _ => {}
    }
    let driver = Instance::open(options).unwrap();
    match part {
        "ignore-sigchld" | "reap-all" => exits(&driver),
        "ignore-signals" => {
            let config =
                script("grep -E 'SigIgn|SigBlk' /proc/self/status | grep -vc 0000000000000000");
            println!("{:?}", finish(&driver, &config).exit);
        }
        "crowd" => crowd(&driver),
        "hold" => {
            let running = start(&driver, &script("while :; do :; done"));
            println!("{}", running.cell().pid());
            std::thread::sleep(Duration::from_secs(600));
        }
        other => panic!("no part {other}"),
    }
}

#[allow(unsafe_code, reason = "the embedder's sins need libc")]
fn set_disposition(signal: i32, to: libc::sighandler_t) {
    // SAFETY: no handler runs, the signal is ignored.
    unsafe { libc::signal(signal, to) };
}

#[allow(unsafe_code, reason = "the embedder's sins need libc")]
fn reap_for_ever() {
    loop {
        let mut status = 0;
        // SAFETY: one int is written.
        if unsafe { libc::waitpid(-1, &raw mut status, 0) } < 0 {
            std::thread::yield_now();
        }
    }
}

/// With and without an init; without one the kernel must keep the status (6.15).
fn exits(driver: &Instance) {
    for code in [0, 7, 200] {
        for init in [true, false] {
            let mut config = script(&format!("exit {code}"));
            config.init = init;
            let mut running = start(driver, &config);
            match running.wait(None) {
                Ok(outcome) => println!("{code} {init} {:?}", outcome.unwrap().exit),
                Err(error) => println!("{code} {init} {error}"),
            }
            running.close().unwrap();
        }
    }
    let outcome = finish(driver, &script("kill -9 $$"));
    println!("9 true {:?}", outcome.exit);
}

fn check_exits(out: &str) {
    assert_eq!(out.lines().count(), 7, "{out}");
    for line in out.lines() {
        let mut words = line.splitn(3, ' ');
        let (code, init) = (words.next().unwrap(), words.next().unwrap());
        let said = words.next().unwrap();
        let right = said == format!("Code({code})") || (code == "9" && said == "Signal(9)");
        let honest = init == "false" && said.contains("the exit status is lost") && !kernel_keeps();
        assert!(right || honest, "{out}");
    }
}

/// Whether this kernel answers PIDFD_GET_INFO about processes that were reaped.
fn kernel_keeps() -> bool {
    let release = rustix::system::uname();
    let mut numbers = release.release().to_str().unwrap().split(['.', '-']).map(str::parse::<u32>);
    let (major, minor) = (numbers.next().unwrap().unwrap(), numbers.next().unwrap().unwrap());
    (major, minor) >= (6, 15)
}

/// Who asks and who reaps race with each other: once is not enough.
fn races() -> usize {
    if crate::host::soak() { 50 } else { 5 }
}

fn an_exit_is_known_though_sigchld_is_ignored(bed: &Bed) {
    (0..races()).for_each(|_| check_exits(&played(bed, "ignore-sigchld")));
}

fn an_exit_is_known_though_another_thread_reaps(bed: &Bed) {
    (0..races()).for_each(|_| check_exits(&played(bed, "reap-all")));
}

fn odd_signal_dispositions_do_not_reach_the_cell(bed: &Bed) {
    // grep -c counts no line with a bit set, and fails for that reason.
    assert_eq!(played(bed, "ignore-signals"), "Code(1)\n");
}

#[allow(unsafe_code, reason = "descriptors that survive exec need libc")]
fn inherited_descriptors_do_not_reach_the_cell(bed: &Bed) {
    let driver = bed.driver();
    // SAFETY: plain descriptors, closed below.
    let open: Vec<i32> =
        (0..50).map(|_| unsafe { libc::open(c"/".as_ptr(), libc::O_RDONLY) }).collect();
    for init in [true, false] {
        // 0 to 2, and the one that ls itself holds.
        let mut config = script(
            "[ $(ls /proc/self/fd | wc -l) = 4 ] && [ -z \"$(ls -l /proc/self/fd | grep -E ' /$| /root')\" ]",
        );
        config.init = init;
        assert_eq!(finish(&driver, &config).exit, Exit::Code(0), "init: {init}");
    }
    for fd in open {
        // SAFETY: opened above, used by nobody else.
        unsafe { libc::close(fd) };
    }
}

/// The first start comes while the table is short, the others when all low numbers are taken.
fn crowd(driver: &Instance) {
    assert_eq!(finish(driver, &script("true")).exit, Exit::Code(0));
    let file = std::fs::File::open("/").unwrap();
    let crowd: Vec<_> = (0..800).map(|_| rustix::io::dup(&file).unwrap()).collect();
    let one = |init: bool| {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut config = script("ls /proc/self/fd | wc -l; ls -l /proc/self/fd | grep -c /root");
        config.init = init;
        let stdio = Stdio { stdout: Stream::Fd(writer.into()), ..Stdio::default() };
        let mut running = driver.create(None, &config, None).unwrap().run(stdio).unwrap();
        running.wait(None).unwrap();
        // It comes to an end only if this process holds no copy of the cell's end.
        let mut told = String::new();
        reader.read_to_string(&mut told).unwrap();
        running.close().unwrap();
        assert_eq!(told, "4\n0\n", "init: {init}");
    };
    std::thread::scope(|scope| {
        for at in 0..12 {
            scope.spawn(move || one(at % 2 == 0));
        }
    });
    drop(crowd);
    println!("alone");
}

fn a_crowd_of_descriptors_reaches_no_cell_and_keeps_no_stream_open(bed: &Bed) {
    assert_eq!(played(bed, "crowd"), "alone\n");
}

fn closed_standard_streams_do_no_harm(bed: &Bed) {
    let rootfs = crate::host::fixture("busybox");
    let inner =
        bed.command("run", ["--rootfs", rootfs.to_str().unwrap(), "--", "sh", "-c", "exit 6"]);
    // A shell starts it with all three closed.
    let mut line = String::from("exec <&- >&- 2>&-; exec");
    for word in std::iter::once(inner.get_program()).chain(inner.get_args()) {
        line.push_str(&format!(" '{}'", word.to_string_lossy()));
    }
    let mut shell = Command::new("sh");
    shell.args(["-c", &line]);
    for (key, value) in inner.get_envs() {
        shell.env(key, value.unwrap());
    }
    assert_eq!(shell.status().unwrap().code(), Some(6));
}

fn a_cell_with_an_init_dies_with_its_embedder(bed: &Bed) {
    let mut embedder = player(bed, "hold").spawn().unwrap();
    let mut line = String::new();
    BufReader::new(embedder.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let init = std::path::PathBuf::from(format!("/proc/{}", line.trim()));
    assert!(init.exists());
    kill_process(Pid::from_child(&embedder), Signal::KILL).unwrap();
    embedder.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    while init.exists() {
        assert!(Instant::now() < deadline, "the cell outlived its embedder");
        std::thread::sleep(Duration::from_millis(5));
    }
    // The rest is the next driver's to sweep.
    drop(bed.driver());
}

fn what_is_dropped_is_gone(bed: &Bed) {
    let driver = bed.driver();
    for upper in [Upper::Tmpfs, Upper::Disk] {
        for init in [true, false] {
            let mut config = script("sleep 60");
            config.upper = upper;
            config.init = init;
            drop(driver.create(None, &config, None).unwrap());
            driver.create(None, &config, None).unwrap().close().unwrap();
            drop(start(&driver, &config));
        }
    }
}

fn a_failed_launch_leaves_nothing(bed: &Bed) {
    let driver = bed.driver();
    let mut missing = CellConfig::new(crate::host::fixture("busybox"), ["no-such"]);
    let mut bad_mount = script("true");
    bad_mount.tmpfs.push("/etc/passwd".parse().unwrap());
    for _ in 0..3 {
        for init in [true, false] {
            missing.init = init;
            bad_mount.init = init;
            let run = |config| driver.create(None, config, None).unwrap().run(Stdio::default());
            assert!(run(&missing).is_err());
            let error = run(&bad_mount).unwrap_err().to_string();
            assert!(error.contains("tmpfs at /etc/passwd"), "{error}");
        }
    }
}

fn many_threads_start_cells_at_once(bed: &Bed) {
    let driver = bed.driver();
    std::thread::scope(|scope| {
        for thread in 0..8u8 {
            let driver = &driver;
            scope.spawn(move || {
                for round in 0..5u8 {
                    let code = thread * 8 + round;
                    let mut config = script(&format!("exit {code}"));
                    config.init = round % 2 == 0;
                    assert_eq!(finish(driver, &config).exit, Exit::Code(code));
                }
            });
        }
    });
}

fn a_running_cell_costs_no_thread_and_two_processes(bed: &Bed) {
    let driver = bed.driver();
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let before = threads();
    let mut config = CellConfig::new(crate::host::fixture("busybox"), ["sleep", "60"]);
    for (init, processes) in [(true, 2), (false, 1)] {
        config.init = init;
        let running: Vec<_> = (0..5).map(|_| start(&driver, &config)).collect();
        assert_eq!(threads(), before);
        for running in running {
            if let Some(pids) = running.cgroup().sample().unwrap().pids {
                assert_eq!(pids, processes);
            }
            running.close().unwrap();
        }
    }
}

fn an_init_that_stays_lets_go_of_what_it_built_with(bed: &Bed) {
    let own = std::fs::read_to_string("/proc/self/smaps").unwrap();
    if own.lines().any(|line| line.starts_with("VmFlags:") && line.contains(" sl")) {
        // This kernel seals its own part of every process's memory: what cannot go stays.
        return;
    }
    let mut config = CellConfig::new(crate::host::fixture("busybox"), ["sleep", "60"]);
    config.init = true;
    let mut running = start(&bed.driver(), &config);
    let proc = PathBuf::from(format!("/proc/{}", running.cell().pid()));
    let read = |name: &str| std::fs::read_to_string(proc.join(name)).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    // It says that the task runs before it lets go.
    while read("maps").contains("[stack]") {
        assert!(Instant::now() < deadline, "{}", read("maps"));
        std::thread::sleep(Duration::from_millis(1));
    }
    let maps = read("maps");
    assert!(maps.lines().count() <= 4 && !maps.contains("[vdso]"), "{maps}");
    let status = read("status");
    let tables = status.lines().find_map(|line| line.strip_prefix("VmPTE:")).unwrap();
    let tables: u64 = tables.trim().trim_end_matches(" kB").parse().unwrap();
    // One page of tables for each level below the first.
    assert!(tables <= 16, "{status}");
    // And does its work all the same.
    running.signal(Signal::TERM).unwrap();
    assert_eq!(running.wait(None).unwrap().unwrap().exit, Exit::Signal(15));
    running.close().unwrap();
}

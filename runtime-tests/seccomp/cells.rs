//! Filters in force: what a profile refuses is refused inside a cell, in the way it says.

use std::path::PathBuf;

use hotcell::bundle::{CellConfig, Seccomp};
use hotcell::launch::Exit;

use crate::bed::{Bed, Ran, finish, script};
use crate::host::fixture;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(what_the_default_profile_refuses_is_refused, Cells, Debian),
        test!(ordinary_programs_work_under_it, Cells, Debian),
        test!(a_profile_of_ones_own_is_in_force, Cells, Busybox),
        test!(every_action_does_what_it_says, Cells, Debian),
        test!(unconfined_is_no_filter, Cells, Busybox),
        test!(a_bad_profile_is_refused_in_one_line, Cells, Busybox),
        test!(a_missing_command_is_told_under_a_narrow_profile, Cells, Busybox),
        test!(the_bundle_says_the_same_as_the_cell, Cells, Busybox),
    ]
}

fn python(bed: &Bed, flags: &[&str], code: &str) -> Ran {
    let rootfs = fixture("debian");
    let rootfs = ["--rootfs", rootfs.to_str().unwrap()];
    bed.run(rootfs.iter().chain(flags).chain(&["--", "python3", "-c", code]))
}

fn profile(bed: &Bed, text: &str) -> (PathBuf, String) {
    let path = bed.path("profile.json");
    std::fs::write(&path, text).unwrap();
    let option = format!("seccomp={}", path.display());
    (path, option)
}

fn what_the_default_profile_refuses_is_refused(bed: &Bed) {
    // The numbers are x86-64's.
    if !cfg!(target_arch = "x86_64") {
        return;
    }
    let code = "
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
def call(*args):
    ctypes.set_errno(0)
    answer = libc.syscall(*args)
    return 'done' if answer >= 0 else errno.errorcode[ctypes.get_errno()]
print('io_uring', call(425, 1, 0), call(426, 0, 0, 0, 0, 0, 0))
print('keys', call(248, 0, 0, 0, 0, 0), call(249, 0, 0, 0, 0), call(250, 0, -3, 0))
print('userfaultfd', call(323, 0))
print('bpf, perf', call(321, 0, 0, 0), call(298, 0, 0, 0, 0, 0))
print('namespaces', call(272, 0x10000000), call(308, 0, 0), call(56, 0x10000011, 0, 0, 0, 0))
print('mounts', call(165, 0, 0, 0, 0, 0), call(166, 0, 0), call(428, -100, 0, 0), call(430, 0, 0))
print('handles', call(304, -100, 0, 0))
print('clone3', call(435, 0, 0))
print('new', call(471), call(500))
print('sockets', *[call(41, family, 3, 0) for family in (15, 17, 33, 38, 40, 44)])
print('netlink', *[call(41, 16, 3, protocol) for protocol in (0, 6, 12)])
print('old', call(154, 0, 0, 0), call(326 + 125, 0, 0, 0, 0), call(278, 0, 0, 0, 0))
print('personality', call(135, 0), call(135, 0x40000))
";
    let expected = "io_uring EPERM EPERM\nkeys EPERM EPERM EPERM\nuserfaultfd EPERM\n\
        bpf, perf EPERM EPERM\nnamespaces EPERM EPERM EPERM\nmounts EPERM EPERM EPERM EPERM\n\
        handles EPERM\nclone3 ENOSYS\nnew ENOSYS ENOSYS\n\
        sockets EPERM EPERM EPERM EPERM EPERM EPERM\nnetlink done EPERM EPERM\n\
        old EPERM EPERM EPERM\npersonality done EPERM\n";
    for flags in [&["--init"][..], &[], &["-u", "1000:1000"]] {
        assert_eq!(python(bed, flags, code).ok(), expected, "{flags:?}");
    }
}

fn ordinary_programs_work_under_it(bed: &Bed) {
    let code = "
import asyncio, concurrent.futures, fcntl, mmap, multiprocessing, os, resource, select, signal
import socket, sqlite3, subprocess, tempfile, threading, time
# Threads, processes, shared memory, semaphores.
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    assert sum(pool.map(lambda n: n * n, range(10))) == 285
assert subprocess.run(['sh', '-c', 'ls / | sort | head -1'], capture_output=True).stdout
with multiprocessing.Pool(2) as pool:
    assert pool.map(abs, [-1, -2]) == [1, 2]
# TCP and UNIX sockets, addresses by netlink, an event loop with signals.
async def main():
    async def serve(reader, writer):
        writer.write(await reader.readline()); await writer.drain(); writer.close()
    for server, connect in (
        (await asyncio.start_server(serve, '127.0.0.1', 8000), lambda: asyncio.open_connection('127.0.0.1', 8000)),
        (await asyncio.start_unix_server(serve, '/tmp/s'), lambda: asyncio.open_unix_connection('/tmp/s')),
    ):
        reader, writer = await connect()
        writer.write(b'hello\\n')
        assert await reader.readline() == b'hello\\n'
        writer.close(); server.close()
asyncio.run(main())
assert socket.if_nameindex()[0][1] == 'lo' and socket.getaddrinfo('127.0.0.1', 80)
# Files, locks, memory, a database, timers, limits.
with tempfile.NamedTemporaryFile() as file:
    file.write(b'x' * 4096); file.flush(); fcntl.flock(file, fcntl.LOCK_EX)
    assert mmap.mmap(file.fileno(), 4096)[:1] == b'x'
    os.listxattr(file.name)
    assert os.sendfile(os.open('/dev/null', os.O_WRONLY), file.fileno(), 0, 10) == 10
db = sqlite3.connect('/tmp/db'); db.execute('create table t (a)'); db.commit()
signal.signal(signal.SIGALRM, lambda *_: None); signal.setitimer(signal.ITIMER_REAL, 0.01); signal.pause()
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)); os.sched_getaffinity(0); os.getrandom(8)
os.memfd_create('m'); os.eventfd(0); select.epoll().close(); os.setpriority(os.PRIO_PROCESS, 0, 5)
print('all')
";
    for flags in [&["--init", "--tmpfs", "/tmp:exec"][..], &["-u", "1000:1000", "--tmpfs", "/tmp"]]
    {
        assert_eq!(python(bed, flags, code).ok(), "all\n", "{flags:?}");
    }
}

fn a_profile_of_ones_own_is_in_force(bed: &Bed) {
    let (_, option) = profile(
        bed,
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
            {"names": ["chmod", "fchmodat", "fchmodat2"], "action": "SCMP_ACT_ERRNO",
             "excludes": {"caps": ["CAP_CHOWN"]}}]}"#,
    );
    let script = "mkdir /new; chmod 700 /tmp && echo changed; true";
    for init in [&["--init"][..], &[]] {
        let flags = [init, &["--security-opt", &option]].concat();
        let ran = bed.sh(&flags, script);
        assert!(ran.err.contains("No space left on device"), "{ran:?}");
        assert_eq!(ran.out, "changed\n");
    }
}

fn every_action_does_what_it_says(bed: &Bed) {
    let code = "
import ctypes, os, signal, sys, threading
libc = ctypes.CDLL(None, use_errno=True)
def call(): return libc.syscall(ctypes.c_long(110 if os.uname().machine == 'x86_64' else 173)), ctypes.get_errno()
if sys.argv[1:] == ['trap']:
    signal.signal(signal.SIGSYS, lambda *_: (print('caught', flush=True), os._exit(3)))
if sys.argv[1:] == ['thread']:
    thread = threading.Thread(target=call); thread.start(); thread.join(1)
    print('alive', flush=True); os._exit(4)
print(call())";
    let cases = [
        (r#""SCMP_ACT_ERRNO", "errnoRet": 77"#, "", Some(0), "(-1, 77)\n"),
        (r#""SCMP_ACT_LOG""#, "", Some(0), "(1, 0)\n"),
        (r#""SCMP_ACT_TRACE""#, "", Some(0), "(-1, 38)\n"),
        (r#""SCMP_ACT_TRAP""#, "", Some(159), ""),
        (r#""SCMP_ACT_TRAP""#, "trap", Some(3), "caught\n"),
        (r#""SCMP_ACT_KILL_PROCESS""#, "", Some(159), ""),
        (r#""SCMP_ACT_KILL_PROCESS""#, "thread", Some(159), ""),
        (r#""SCMP_ACT_KILL_THREAD""#, "thread", Some(4), "alive\n"),
        (r#""SCMP_ACT_KILL""#, "thread", Some(4), "alive\n"),
        (r#""SCMP_ACT_KILL""#, "", Some(159), ""),
    ];
    let rootfs = fixture("debian");
    for (action, how, expected, out) in cases {
        let (_, option) = profile(
            bed,
            &format!(
                r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                    {{"names": ["getppid"], "action": {action}}}]}}"#
            ),
        );
        let args = ["--rootfs", rootfs.to_str().unwrap(), "--init", "--security-opt", &option];
        let ran = bed.run(args.iter().chain(&["--", "python3", "-c", code, how]));
        assert_eq!((ran.code, ran.out.as_str()), (expected, out), "{action} {how}: {}", ran.err);
    }
}

fn unconfined_is_no_filter(bed: &Bed) {
    let script = "grep -c 'Seccomp:.0' /proc/self/status; unshare -U true; echo $?";
    let out = bed.sh(&["--security-opt", "seccomp=unconfined"], script).out;
    assert!(out.starts_with("1\n"), "{out}");
    let out = bed.sh(&[], "grep -c 'Seccomp:.2' /proc/self/status").ok();
    assert_eq!(out, "1\n");
    // Logging changes what the kernel writes down, not what it answers.
    let ran = bed.sh(&["--security-opt", "seccomp-log"], "unshare -U true");
    assert!(ran.code == Some(1) && ran.err.contains("not permitted"), "{ran:?}");
}

fn a_bad_profile_is_refused_in_one_line(bed: &Bed) {
    let refused = |option: &str, expected: &str| {
        let ran = bed.sh(&["--security-opt", option], "true");
        assert_eq!(ran.code, Some(125), "{ran:?}");
        assert!(ran.err.contains(expected) && ran.err.lines().count() == 1, "{ran:?}");
    };
    refused("apparmor=unconfined", "apparmor");
    refused("no-new-privileges=maybe", "true or false");
    refused("seccomp=/nowhere.json", "/nowhere.json");
    let bad = [
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "NO"}]}"#,
            "syscalls[0].action",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_NOTIFY"}]}"#,
            "not supported",
        ),
        (r#"{"defaultAction": "SCMP_ACT_ERRNO"}"#, "execve"),
        ("[", "seccomp profile"),
    ];
    for (text, expected) in bad {
        let (_, option) = profile(bed, text);
        refused(&option, expected);
    }
}

/// Nothing but what the init needs to fail, and the failure is still told.
fn a_missing_command_is_told_under_a_narrow_profile(bed: &Bed) {
    let (_, option) = profile(
        bed,
        r#"{"defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": [
            {"names": ["execve", "write", "exit_group"], "action": "SCMP_ACT_ALLOW"}]}"#,
    );
    let rootfs = fixture("busybox");
    for init in [&["--init"][..], &[]] {
        let args = ["--rootfs", rootfs.to_str().unwrap(), "--security-opt", &option];
        let ran = bed.run(args.iter().chain(init).chain(&["--", "/nowhere"]));
        assert!(ran.code == Some(127) && ran.err.contains("/nowhere"), "{ran:?}");
        let ran = bed.run(args.iter().chain(init).chain(&["--", "/bin/true"]));
        assert_eq!(ran.code, Some(159), "{ran:?}");
    }
}

fn the_bundle_says_the_same_as_the_cell(bed: &Bed) {
    let driver = bed.driver();
    let mut config: CellConfig = script("unshare -U true");
    let spec = hotcell::bundle::spec(&config).unwrap();
    let seccomp = spec.linux().as_ref().unwrap().seccomp().clone().unwrap();
    assert!(seccomp.syscalls().iter().flatten().any(|rule| rule.names().contains(&"read".into())));
    assert_eq!(finish(&driver, &config).exit, Exit::Code(1));
    config.seccomp = Seccomp::Unconfined;
    assert!(hotcell::bundle::spec(&config).unwrap().linux().as_ref().unwrap().seccomp().is_none());
}

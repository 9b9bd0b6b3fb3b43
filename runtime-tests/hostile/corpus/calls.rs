//! What root in a cell tries with system calls that no shell makes.

use super::super::case::{Case, Form, ONE, WITH_INIT, WRITABLE};
use super::super::way::OWN_FIRST;

/// `no(NUMBER, ERRNOS, ARGUMENTS...)` says so if a call works or fails in an unexpected way.
const CALLS: &str = r"
import ctypes, errno, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(4096)
def call(number, *args):
    ctypes.set_errno(0)
    words = [a if isinstance(a, bytes) or a is buffer else ctypes.c_long(a) for a in args]
    return libc.syscall(ctypes.c_long(number), *words)
def no(what, number, *args):
    if call(number, *args) != -1:
        print('did', what)
        return
    name = errno.errorcode.get(ctypes.get_errno())
    if name not in ('EPERM', 'EACCES', 'ENOSYS', 'EAFNOSUPPORT'):
        print(what, 'gives', name)
if call(39) != os.getpid():
    print('blind')
";

fn python(text: &str) -> Form {
    Form::python(&format!("{CALLS}{text}"))
}

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("a user namespace", "CVE-2022-0492, CVE-2023-0386")
            .by_filter()
            .form(python(
                "
no('unshare user', 272, 0x10000000)
no('unshare user and mount', 272, 0x10020000)
no('clone', 56, 0x10000011, 0, 0, 0, 0)
no('clone3', 435, buffer, 88)",
            ))
            .modes(WRITABLE)

        ,
        Case::new("other namespaces", "CAP_SYS_ADMIN")
            .form(python(
                "
for name, flag in dict(mnt=0x20000, cgroup=0x2000000, uts=0x4000000, ipc=0x8000000, pid=0x20000000, net=0x40000000, time=0x80).items():
    no('unshare ' + name, 272, flag)
for name in ('mnt', 'pid', 'net', 'uts', 'ipc', 'cgroup'):
    try: no('setns ' + name, 308, os.open('/proc/self/ns/' + name, os.O_RDONLY), 0)
    except PermissionError: pass",
            ))
            .modes(WRITABLE),
        Case::new("the new mount calls", "fsopen, open_tree, move_mount, mount_setattr")
            .form(python(
                "
no('mount', 165, b'none', b'/tmp', b'tmpfs', 0, 0)
no('umount2', 166, b'/proc', 2)
no('pivot_root', 155, b'/', b'/tmp')
no('fsopen', 430, b'tmpfs', 0)
no('open_tree clone', 428, -100, b'/', 1)
no('mount_setattr', 442, -100, b'/', 0, buffer, 32)
no('fspick', 433, -100, b'/', 0)",
            ))
            .modes(WRITABLE),
        Case::new("file handles", "the shocker: open_by_handle_at")
            .form(python(
                "
root = os.open('/', os.O_RDONLY)
for ino in range(1, 20):
    handle = ctypes.create_string_buffer(struct.pack('<IiII', 8, 1, ino, 0), 64)
    if libc.syscall(304, root, handle, 0) != -1: print('opened', ino)
    elif ctypes.get_errno() != errno.EPERM: print(errno.errorcode[ctypes.get_errno()])",
            ))
            .modes(WRITABLE),
        Case::new("keyrings", "keyrings have no namespace")
            .by_filter()
            .form(python(
                "
no('add_key', 248, b'user', b'x', b'y', 1, -4)
no('request_key', 249, b'user', b'x', 0, 0)
no('keyctl', 250, 0, -3, 0)",
            ))
            .modes(WRITABLE),
        Case::new("eBPF, performance counters, kexec, modules", "CAP_BPF, CAP_PERFMON, CAP_SYS_BOOT")
            .form(python(
                "
no('bpf', 321, 5, buffer, 128)
no('bpf map', 321, 0, ctypes.create_string_buffer(struct.pack('<IIII', 2, 4, 4, 1), 128).raw, 128)
no('kexec_load', 246, 0, 0, 0, 0)
no('init_module', 175, buffer, 10, b'')
no('finit_module', 313, 0, b'', 0)
no('delete_module', 176, b'x', 0)
no('swapon', 167, b'/tmp', 0)
no('acct', 163, b'/tmp/x')
no('sethostname', 170, b'x', 1)
no('settimeofday', 164, ctypes.create_string_buffer(16).raw, 0)
no('iopl', 172, 3)
no('ioperm', 173, 0, 8, 1)
no('syslog', 103, 5, 0, 0)
no('vhangup', 153)",
            ))
            .modes(WRITABLE),
        Case::new("the way into PID 1", "ptrace, process_vm_readv, pidfd_getfd").by_engines(OWN_FIRST)
            .form(python(
                "
no('ptrace attach', 101, 16, 1, 0, 0)
no('ptrace seize', 101, 0x4206, 1, 0, 0)
place = struct.pack('<QQ', ctypes.addressof(buffer), 8)
no('process_vm_readv', 310, 1, place, 1, place, 1, 0)
no('process_vm_writev', 311, 1, place, 1, place, 1, 0)
pidfd = call(434, 1, 0)
if pidfd < 0: print('no pidfd')
for fd in range(0, 6): no('pidfd_getfd', 438, pidfd, fd, 0)
no('setns pidfd', 308, pidfd, 0x20000)
no('move_pages', 279, 1, 0, buffer, buffer, buffer, 0)
no('kcmp', 312, 1, os.getpid(), 0, 0, 0)",
            ))
            .modes(WITH_INIT)
            .no_peers("their PID 1 is the task itself"),
        Case::new("raw sockets see only their own", "CAP_NET_RAW, own network namespace")
            .form(python(
                "
import socket
names = [name for _, name in socket.if_nameindex()]
if names != ['lo']: print(names)
for family in (socket.AF_INET, socket.AF_INET6):
    s = socket.socket(family, socket.SOCK_DGRAM)
    try:
        s.connect(('169.254.169.254' if family == socket.AF_INET else 'fe80::1', 80)); print('a way out')
    except OSError: pass",
            ))
            .modes(WRITABLE),
        Case::new("new surfaces of the kernel", "io_uring, userfaultfd, AF_ALG (CVE-2026-31431), AF_VSOCK")
            .by_filter()
            .form(python(
                "
no('io_uring_setup', 425, 8, buffer)
no('userfaultfd', 323, 1)
no('perf_event_open', 298, buffer, 0, -1, -1, 0)
no('AF_ALG', 41, 38, 5, 0)
no('AF_VSOCK', 41, 40, 1, 0)
no('AF_KEY', 41, 15, 3, 2)
no('AF_RXRPC', 41, 33, 2, 2)",
            ))
            .modes(WRITABLE),
        Case::new("raised limits and priorities", "CAP_SYS_RESOURCE, CAP_SYS_NICE")
            .form(python(
                "
import resource
for kind in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC, resource.RLIMIT_MEMLOCK):
    soft, hard = resource.getrlimit(kind)
    if hard == resource.RLIM_INFINITY: continue
    try: resource.setrlimit(kind, (soft, hard + 1)); print('raised', kind)
    except (ValueError, PermissionError): pass
no('setpriority', 141, 0, 0, -20)
no('sched_setscheduler', 144, 0, 2, struct.pack('<i', 99))
no('ioprio_set', 251, 1, 0, 1 << 13)
try: os.write(os.open('/proc/self/oom_score_adj', os.O_WRONLY), b'-1000'); print('safe from want of memory')
except PermissionError: pass",
            ))
            .modes(ONE),
    ]
}

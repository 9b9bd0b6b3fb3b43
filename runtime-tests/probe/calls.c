/* Calls whose arguments decide: namespaces, mounts, tracing, keys, kernel services, the host's state. */
#include "probe.h"

#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/swap.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif
#define LENGTH(array) (sizeof(array) / sizeof *(array))

static const struct {
    const char *name;
    unsigned long flag;
} namespaces[] = {
    {"NEWNS", CLONE_NEWNS},     {"NEWUTS", CLONE_NEWUTS},   {"NEWIPC", CLONE_NEWIPC},
    {"NEWUSER", CLONE_NEWUSER}, {"NEWPID", CLONE_NEWPID},   {"NEWNET", CLONE_NEWNET},
    {"NEWCGROUP", CLONE_NEWCGROUP}, {"NEWTIME", CLONE_NEWTIME},
    {"NEWUSER+NEWNS", CLONE_NEWUSER | CLONE_NEWNS},
    {"NEWUSER+NEWNET", CLONE_NEWUSER | CLONE_NEWNET},
};

static long clone_with(unsigned long flags) {
    long pid = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) _exit(0);
    return pid;
}

static long clone3_with(uint64_t flags) {
    uint64_t arguments[8] = {flags, 0, 0, 0, SIGCHLD};
    long pid = syscall(SYS_clone3, arguments, sizeof arguments);
    if (pid == 0) _exit(0);
    return pid;
}

static long join(const char *process, const char *kind) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%s/ns/%s", process, kind);
    int fd = open(path, O_RDONLY);
    return fd < 0 ? -1 : setns(fd, 0);
}

static void namespace_calls(void) {
    char key[64];
    for (unsigned i = 0; i < LENGTH(namespaces); i++) {
        snprintf(key, sizeof key, "unshare-%s", namespaces[i].name);
        TRY("namespace", key, unshare(namespaces[i].flag));
        /* clone's low byte is a signal. */
        if (namespaces[i].flag != CLONE_NEWTIME) {
            snprintf(key, sizeof key, "clone-%s", namespaces[i].name);
            TRY("namespace", key, clone_with(namespaces[i].flag));
        }
        snprintf(key, sizeof key, "clone3-%s", namespaces[i].name);
        TRY("namespace", key, clone3_with(namespaces[i].flag));
    }
    TRY("namespace", "clone-plain", clone_with(0));
    TRY("namespace", "clone3-plain", clone3_with(0));
    TRY("namespace", "unshare-FILES", unshare(CLONE_FILES));
    static const char *kinds[] = {"mnt", "uts", "ipc", "user", "pid", "net", "cgroup", "time"};
    for (unsigned i = 0; i < LENGTH(kinds); i++) {
        snprintf(key, sizeof key, "setns-own-%s", kinds[i]);
        TRY("namespace", key, join("self", kinds[i]));
        snprintf(key, sizeof key, "setns-pid1-%s", kinds[i]);
        TRY("namespace", key, join("1", kinds[i]));
    }
}

static long handle_of_root(void) {
    struct {
        struct file_handle head;
        char space[128];
    } handle = {.head.handle_bytes = sizeof handle.space};
    int mount_id;
    if (name_to_handle_at(AT_FDCWD, "/proc/self/exe", &handle.head, &mount_id, AT_SYMLINK_FOLLOW))
        /* Not every file system gives handles out; the question is who may use one. */
        handle.head.handle_bytes = 8, handle.head.handle_type = 1;
    return open_by_handle_at(AT_FDCWD, &handle.head, O_RDONLY);
}

static void mount_calls(void) {
    char attributes[32] = {0};
    TRY("mount-call", "mount-tmpfs", mount("none", "/dev/shm", "tmpfs", 0, NULL));
    TRY("mount-call", "mount-proc", mount("none", "/dev/shm", "proc", 0, NULL));
    TRY("mount-call", "mount-sysfs", mount("none", "/dev/shm", "sysfs", 0, NULL));
    TRY("mount-call", "mount-cgroup2", mount("none", "/dev/shm", "cgroup2", 0, NULL));
    TRY("mount-call", "mount-bind", mount("/", "/dev/shm", NULL, MS_BIND, NULL));
    TRY("mount-call", "mount-propagation", mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL));
    /* Would only mark the mount. */
    TRY("mount-call", "umount2-expire", umount2("/dev/shm", MNT_EXPIRE));
    TRY("mount-call", "fsopen-tmpfs", syscall(SYS_fsopen, "tmpfs", 0));
    TRY("mount-call", "fspick", syscall(SYS_fspick, AT_FDCWD, "/", 0));
    TRY("mount-call", "fsconfig", syscall(SYS_fsconfig, -1, 6, NULL, NULL, 0));
    TRY("mount-call", "fsmount", syscall(SYS_fsmount, -1, 0, 0));
    TRY("mount-call", "open_tree", syscall(SYS_open_tree, AT_FDCWD, "/", 0));
    TRY("mount-call", "open_tree-clone", syscall(SYS_open_tree, AT_FDCWD, "/", 1));
    TRY("mount-call", "move_mount", syscall(SYS_move_mount, -1, "", -1, "", 4));
    TRY("mount-call", "mount_setattr", syscall(442, AT_FDCWD, "/", 0, attributes, 32));
    TRY("mount-call", "statmount", syscall(457, NULL, NULL, 0, 0));
    TRY("mount-call", "listmount", syscall(458, NULL, NULL, 0, 0));
    TRY("mount-call", "pivot_root", syscall(SYS_pivot_root, "/", "/"));
    TRY("mount-call", "chroot", chroot("/"));
    TRY("mount-call", "open_by_handle_at", handle_of_root());
    TRY("mount-call", "quotactl", syscall(SYS_quotactl, 0x80000101, NULL, 0, NULL));
    TRY("mount-call", "quotactl_fd", syscall(443, -1, 0x80000101, 0, NULL));
    TRY("mount-call", "fanotify_init", syscall(SYS_fanotify_init, 0, O_RDONLY));
    TRY("mount-call", "fanotify_init-unprivileged", syscall(SYS_fanotify_init, 0x200, O_RDONLY));
    TRY("mount-call", "swapon", swapon("/", 0));
    TRY("mount-call", "swapoff", swapoff("/"));
}

static long trace(long request, pid_t pid) {
    long value = ptrace(request, pid, NULL, NULL);
    if (value == 0) ptrace(PTRACE_DETACH, pid, NULL, NULL);
    return value;
}

/* A child to be traced, which ends when nobody looks at it any more. */
static pid_t victim(void) {
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) pause();
    }
    return pid;
}

static long on_victim(long (*what)(pid_t)) {
    pid_t pid = victim();
    long value = what(pid);
    int error = errno;
    kill(pid, SIGKILL);
    errno = error;
    return value;
}

static char byte;

static long read_of(pid_t pid) {
    struct iovec here = {&byte, 1}, there = {&byte, 1};
    return process_vm_readv(pid, &here, 1, &there, 1, 0);
}

static long write_of(pid_t pid) {
    struct iovec here = {&byte, 1}, there = {&byte, 1};
    return process_vm_writev(pid, &here, 1, &there, 1, 0);
}

static long attach(pid_t pid) { return trace(PTRACE_ATTACH, pid); }
static long seize(pid_t pid) { return ptrace(PTRACE_SEIZE, pid, NULL, NULL); }
static long compare(pid_t pid) { return syscall(SYS_kcmp, getpid(), pid, 1, 0, 0); }

static long take_descriptor(pid_t pid) {
    int fd = syscall(SYS_pidfd_open, pid, 0);
    return fd < 0 ? -1 : syscall(438, fd, 0, 0);
}

static long advise(pid_t pid) {
    struct iovec range = {&byte, 0};
    int fd = syscall(SYS_pidfd_open, pid, 0);
    return fd < 0 ? -1 : syscall(440, fd, &range, 1, 20, 0);
}

static void tracing_calls(void) {
    TRY("trace", "ptrace-traceme", ptrace(PTRACE_TRACEME, 0, NULL, NULL));
    TRY("trace", "ptrace-attach-child", on_victim(attach));
    TRY("trace", "ptrace-seize-child", on_victim(seize));
    TRY("trace", "process_vm_readv-child", on_victim(read_of));
    TRY("trace", "process_vm_writev-child", on_victim(write_of));
    TRY("trace", "kcmp-child", on_victim(compare));
    TRY("trace", "pidfd_getfd-child", on_victim(take_descriptor));
    TRY("trace", "process_madvise-child", on_victim(advise));
    /* PID 1 is the probe itself where there is no init. */
    if (getpid() != 1) {
        TRY("trace", "ptrace-attach-init", attach(1));
        TRY("trace", "ptrace-seize-init", seize(1));
        TRY("trace", "process_vm_readv-init", read_of(1));
        TRY("trace", "pidfd_getfd-init", take_descriptor(1));
        TRY("trace", "kcmp-init", compare(1));
        TRY("trace", "prlimit-init", prlimit(1, 7, NULL, &(struct rlimit){0}));
        TRY("trace", "sched_setaffinity-init", sched_setaffinity(1, sizeof(cpu_set_t), &(cpu_set_t){{1}}));
    }
}

static void key_calls(void) {
    char key[32];
    TRY("key", "add_key-session", syscall(SYS_add_key, "user", "probe", "x", 1, -3));
    TRY("key", "add_key-user", syscall(SYS_add_key, "user", "probe", "x", 1, -4));
    TRY("key", "request_key", syscall(SYS_request_key, "user", "probe", NULL, 0));
    for (long operation = 0; operation <= 32; operation++) {
        snprintf(key, sizeof key, "keyctl-%ld", operation);
        TRY("key", key, syscall(SYS_keyctl, operation, 0, 0, 0, 0));
    }
    TRY("key", "keyctl-session-id", syscall(SYS_keyctl, 0, -3, 0));
    TRY("key", "keyctl-new-session", syscall(SYS_keyctl, 1, "probe"));
}

static long bpf_with(int command, union bpf_attr *attributes) {
    return syscall(SYS_bpf, command, attributes, sizeof *attributes);
}

static void kernel_service_calls(void) {
    union bpf_attr map = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
    uint64_t code[2] = {0xb7, 0x95};
    union bpf_attr program = {.prog_type = BPF_PROG_TYPE_SOCKET_FILTER, .insn_cnt = 2};
    program.insns = (uintptr_t)code, program.license = (uintptr_t) "GPL";
    union bpf_attr zero = {0};
    TRY("service", "bpf-map", bpf_with(BPF_MAP_CREATE, &map));
    TRY("service", "bpf-socket-filter", bpf_with(BPF_PROG_LOAD, &program));
    TRY("service", "bpf-next-program", bpf_with(BPF_PROG_GET_NEXT_ID, &zero));
    TRY("service", "bpf-object", bpf_with(BPF_OBJ_GET, &zero));
    struct io_uring_params ring = {0};
    TRY("service", "io_uring_setup", syscall(SYS_io_uring_setup, 1, &ring));
    TRY("service", "io_uring_enter", syscall(SYS_io_uring_enter, -1, 0, 0, 0, NULL, 0));
    TRY("service", "io_uring_register", syscall(SYS_io_uring_register, -1, 0, NULL, 0));
    unsigned long context = 0;
    TRY("service", "io_setup", syscall(SYS_io_setup, 1, &context));
    TRY("service", "userfaultfd", syscall(SYS_userfaultfd, 0));
    TRY("service", "userfaultfd-user-mode", syscall(SYS_userfaultfd, 1));
    struct perf_event_attr event = {.type = 1, .size = sizeof event, .exclude_kernel = 1, .exclude_hv = 1};
    TRY("service", "perf_event_open-user", syscall(SYS_perf_event_open, &event, 0, -1, -1, 0));
    event.exclude_kernel = 0;
    TRY("service", "perf_event_open-kernel", syscall(SYS_perf_event_open, &event, 0, -1, -1, 0));
    TRY("service", "perf_event_open-cpu", syscall(SYS_perf_event_open, &event, -1, 0, -1, 0));
    TRY("service", "memfd_create", syscall(SYS_memfd_create, "probe", 0));
    TRY("service", "memfd_secret", syscall(447, 0));
    TRY("service", "landlock", syscall(444, NULL, 0, 1));
#if defined(__x86_64__)
    TRY("service", "modify_ldt-write", syscall(SYS_modify_ldt, 17, &(int[4]){0, 0, 0, 0x28}, 16));
#endif
    TRY("service", "mbind", syscall(SYS_mbind, 0, 0, 0, NULL, 0, 0));
    TRY("service", "set_mempolicy", syscall(SYS_set_mempolicy, 0, NULL, 0));
    TRY("service", "get_mempolicy", syscall(SYS_get_mempolicy, NULL, NULL, 0, NULL, 0));
    TRY("service", "move_pages", syscall(SYS_move_pages, 0, 0, NULL, NULL, NULL, 0));
    TRY("service", "migrate_pages", syscall(SYS_migrate_pages, 0, 0, NULL, NULL));
    TRY("service", "vmsplice", syscall(SYS_vmsplice, -1, NULL, 0, 0));
    TRY("service", "lsm_list_modules", syscall(461, NULL, NULL, 0));
    struct { unsigned short length; void *filter; } none = {0, NULL};
    TRY("service", "seccomp-filter", syscall(SYS_seccomp, 1, 0, &none));
    TRY("service", "seccomp-listener", syscall(SYS_seccomp, 1, 8, &none));
}

/* Each sets what is there already. */
static long set_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return clock_settime(CLOCK_REALTIME, &now);
}

static long set_time_of_day(void) {
    struct timeval now;
    gettimeofday(&now, NULL);
    return settimeofday(&now, NULL);
}

static long set_tick(void) {
    struct timex clock = {0};
    adjtimex(&clock);
    clock.modes = ADJ_TICK;
    return adjtimex(&clock);
}

static long set_name(int domain) {
    char name[65];
    if (domain ? getdomainname(name, 64) : gethostname(name, 64)) return -1;
    return domain ? setdomainname(name, strlen(name)) : sethostname(name, strlen(name));
}

static long push_input(int own) {
    char key = 'x';
    if (!own) return ioctl(0, TIOCSTI, &key);
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) || unlockpt(master)) return -1;
    setsid();
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    if (slave < 0 || ioctl(slave, TIOCSCTTY, 0)) return -1;
    return ioctl(slave, TIOCSTI, &key);
}

static void host_calls(void) {
    TRY("host", "reboot-without-magic", syscall(SYS_reboot, 0, 0, 0, NULL));
    TRY("host", "init_module", syscall(SYS_init_module, NULL, 0, ""));
    TRY("host", "finit_module", syscall(SYS_finit_module, -1, "", 0));
    TRY("host", "delete_module", syscall(SYS_delete_module, "no_such_module", O_NONBLOCK));
    TRY("host", "kexec_load", syscall(SYS_kexec_load, 0, 0, NULL, 0x8000));
    TRY("host", "kexec_file_load", syscall(SYS_kexec_file_load, -1, -1, 0, NULL, 0xff00));
    TRY("host", "acct", acct("/no/such/file"));
    TRY("host", "syslog-read", klogctl(3, &byte, 1));
    TRY("host", "syslog-size", klogctl(10, NULL, 0));
    TRY("host", "clock_settime", set_clock());
    TRY("host", "settimeofday", set_time_of_day());
    TRY("host", "adjtimex-read", adjtimex(&(struct timex){0}));
    TRY("host", "adjtimex-set", set_tick());
    TRY("host", "sethostname", set_name(0));
    TRY("host", "setdomainname", set_name(1));
#if defined(__x86_64__)
    TRY("host", "iopl", syscall(SYS_iopl, 3));
    TRY("host", "ioperm", syscall(SYS_ioperm, 0x80, 1, 1));
#endif
    TRY("host", "vhangup", vhangup());
    TRY("host", "lookup_dcookie", syscall(SYS_lookup_dcookie, 0, NULL, 0));
    TRY("host", "TIOCSTI-stdin", push_input(0));
    TRY("host", "TIOCSTI-own-terminal", push_input(1));
    TRY("host", "kill-everyone", kill(-1, 0));
}

static void process_calls(void) {
    static const unsigned personas[] = {0, 8, 0x20000, 0x20008, 0xffffffff, 1, 0x40000, 0x400000,
                                        0x100000, 0x200000, 0x800000, 0x8000000, 0x20001};
    char key[64];
    for (unsigned i = 0; i < LENGTH(personas); i++) {
        snprintf(key, sizeof key, "%#x", personas[i]);
        TRY("personality", key, syscall(SYS_personality, personas[i]));
    }
    static const struct {
        const char *name;
        int option;
        unsigned long a, b;
    } options[] = {
        {"SET_DUMPABLE", PR_SET_DUMPABLE, 1, 0},
        {"SET_DUMPABLE-2", PR_SET_DUMPABLE, 2, 0},
        {"SET_KEEPCAPS", PR_SET_KEEPCAPS, 1, 0},
        {"SET_SECUREBITS", PR_SET_SECUREBITS, 0, 0},
        {"CAPBSET_DROP", PR_CAPBSET_DROP, 39, 0},
        {"AMBIENT_RAISE", PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 0},
        {"SET_NO_NEW_PRIVS-off", PR_SET_NO_NEW_PRIVS, 0, 0},
        {"SET_SECCOMP-strict-off", PR_SET_SECCOMP, 0, 0},
        {"SET_MM", PR_SET_MM, PR_SET_MM_BRK, 0},
        {"SET_TSC", PR_SET_TSC, PR_TSC_ENABLE, 0},
        {"SET_TIMING", PR_SET_TIMING, PR_TIMING_TIMESTAMP, 0},
        {"SET_PTRACER", PR_SET_PTRACER, 0, 0},
        {"SET_CHILD_SUBREAPER", PR_SET_CHILD_SUBREAPER, 1, 0},
        {"SET_TIMERSLACK", PR_SET_TIMERSLACK, 1, 0},
        {"SET_THP_DISABLE", PR_SET_THP_DISABLE, 1, 0},
        {"SET_IO_FLUSHER", PR_SET_IO_FLUSHER, 1, 0},
        {"MCE_KILL", PR_MCE_KILL, PR_MCE_KILL_CLEAR, 0},
        {"TASK_PERF_EVENTS_DISABLE", PR_TASK_PERF_EVENTS_DISABLE, 0, 0},
        {"SPECULATION-disable", PR_SET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS, PR_SPEC_DISABLE},
        {"SCHED_CORE-create", 62, 1, 0},
        {"no-such-option", 9999, 0, 0},
    };
    for (unsigned i = 0; i < LENGTH(options); i++)
        TRY("prctl", options[i].name, prctl(options[i].option, options[i].a, options[i].b, 0, 0));
}

void probe_calls(void) {
    namespace_calls();
    mount_calls();
    tracing_calls();
    key_calls();
    kernel_service_calls();
    host_calls();
    process_calls();
}

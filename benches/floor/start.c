/* Whole starts: cgroups, clone3, the child, the wait, the removal. */
#include "floor.h"

#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define MOST_PARKED 4096
#define MOST_TIMES 50000

/* The hierarchies that a start may have a cgroup in; the first is v2. */
static const char *tree[] = {"unified", "memory", "cpu", "pids"};
static const char *file[] = {0, "memory.limit_in_bytes", "cpu.cfs_quota_us", "pids.max"};
static const char *unified_file[] = {"memory.max", "cpu.max", "pids.max"};
static const char *value[] = {0, "134217728", "50000", "64"};
static const char *unified_value[] = {"134217728", "50000 100000", "64"};
static char parent_path[4][64];
static int parent[4], trees, swap_limit, device_filter;
static struct sock_filter code[4096];
static struct sock_fprog filter = {0, code};

/* What the child reads; it shares this memory until it executes its command. */
static struct {
    int flags, count;
    char leaf[4][100];
    const char *const *argv;
} job;
static char stack[1 << 16] __attribute__((aligned(16)));
static const char *run_true[] = {"/bin/true", 0}, *run_sleep[] = {"/bin/sleep", "3600", 0};

static int bpf(int command, union bpf_attr *attr) {
    return syscall(SYS_bpf, command, attr, sizeof *attr);
}

/* Attaches the device filter: the parent's yields to its children's, theirs hold. */
static void attach(int cgroup, int flags) {
    union bpf_attr attr = {.target_fd = cgroup, .attach_bpf_fd = device_filter,
        .attach_type = BPF_CGROUP_DEVICE, .attach_flags = flags};
    if (bpf(BPF_PROG_ATTACH, &attr)) die("attach device filter");
}

static void load_device_filter(void) {
    struct bpf_insn allow[] = {{.code = 0xb7, .imm = 1}, {.code = 0x95}};
    union bpf_attr attr = {.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE, .insn_cnt = 2,
        .insns = (uintptr_t)allow, .license = (uintptr_t) "Dual MIT/GPL"};
    device_filter = bpf(BPF_PROG_LOAD, &attr);
    if (device_filter < 0) die("load device filter");
}

static void put(int dir, const char *name, const char *text) {
    int fd = openat(dir, name, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0) die(name);
    close(fd);
}

void start_prepare(const char *path) {
    FILE *stored = fopen(path, "r");
    if (!stored) die(path);
    filter.len = fread(code, sizeof code[0], 4096, stored);
    fclose(stored);
    trees = hybrid ? 4 : 1;
    for (int i = 0; i < trees; i++) {
        const char *below = hybrid ? tree[i] : "";
        snprintf(parent_path[i], 64, "/sys/fs/cgroup/%s/floor-%d", below, getpid());
        if (mkdir(parent_path[i], 0755)) die(parent_path[i]);
        parent[i] = open(parent_path[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (!hybrid) {
        const char *all = "+memory +cpu +pids";
        put(AT_FDCWD, "/sys/fs/cgroup/cgroup.subtree_control", all);
        put(parent[0], "cgroup.subtree_control", all);
    }
    const char *both = hybrid ? "memory.memsw.limit_in_bytes" : "memory.swap.max";
    swap_limit = !faccessat(parent[hybrid ? 1 : 0], both, F_OK, 0);
    load_device_filter();
    attach(parent[0], BPF_F_ALLOW_OVERRIDE);
}

void start_forget(void) {
    start_unpark();
    for (int i = 0; i < trees; i++)
        if (rmdir(parent_path[i])) die(parent_path[i]);
}

static void capabilities(int flags) {
    uint64_t kept = flags & BIND ? 0x20000420 : 0xa80425fb;
    for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
        if (!(kept >> cap & 1)) prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{kept, kept, 0}, {0}};
    if (syscall(SYS_capset, &header, data)) die("capset");
}

static void contain(int flags) {
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3; fd++)
        if (dup2(null, fd) < 0) die("null");
    /* What the embedder left open by mistake is not the cell's. */
    if (syscall(SYS_close_range, 3, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */)) die("close_range");
    struct rlimit limit = {flags & BIND ? 1024 : 0, flags & BIND ? 1024 : 0};
    if (setrlimit(flags & BIND ? RLIMIT_NOFILE : RLIMIT_CORE, &limit)) die("setrlimit");
    capabilities(flags);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) die("no_new_privs");
    if (flags & SECCOMP && syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter))
        die("seccomp");
}

/* The child, in its parent's memory, which waits. */
static void child(void) {
    int flags = job.flags;
    const char *views[5] = {0}, *names[5] = {0};
    for (int i = 1; i < job.count; i++) {
        char name[128];
        snprintf(name, sizeof name, "%s/tasks", job.leaf[i]);
        put(parent[i], name + strlen(parent_path[i]) + 1, "0");
    }
    if (job.count > 1 && !(flags & NO_CGROUPNS) && unshare(CLONE_NEWCGROUP))
        die("cgroup namespace");
    for (int i = 0; i < job.count; i++) views[i] = job.leaf[i], names[i] = tree[i];
    if (flags & BUNDLE)
        bundle_root(flags, views, names), contain(flags);
    else if (flags & NS)
        plain_root(flags);
    else if (chroot(root) || chdir("/"))
        die("chroot");
    char *environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME=/root", "HOSTNAME=floor", 0};
    execve(job.argv[0], (char *const *)job.argv, environment);
    die("exec");
}

/* clone3 with a stack of the child's own. */
static pid_t clone_child(struct clone_args *args) {
    long pid;
    void (*run)(void) = child;
    args->stack = (uintptr_t)stack;
    args->stack_size = sizeof stack;
#if defined __x86_64__
    __asm__ volatile("syscall\n\ttest %%rax, %%rax\n\tjnz 1f\n\txor %%ebp, %%ebp\n\tcall *%4\n1:"
                     : "=a"(pid)
                     : "0"((long)SYS_clone3), "D"(args), "S"(sizeof *args), "r"(run)
                     : "rcx", "r11", "memory");
#elif defined __aarch64__
    register long x8 __asm__("x8") = SYS_clone3, x0 __asm__("x0") = (long)args;
    register long x1 __asm__("x1") = sizeof *args;
    __asm__ volatile("svc #0\n\tcbnz x0, 1f\n\tblr %3\n1:"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(run)
                     : "memory", "x30");
    pid = x0;
#endif
    if (pid < 0) errno = -pid, die("clone3");
    return pid;
}

/* Makes the cgroups of start `number`, with its limits and its device filter. */
static int make_cgroups(int flags, int number) {
    char name[32];
    snprintf(name, sizeof name, "%d-%d", getpid(), number);
    job.count = flags & (CGROUP | BUNDLE) ? 1 : 0;
    /* A cell is always measured and has its share of the CPU; processes are counted for a limit. */
    if (hybrid && flags & BUNDLE) job.count = 3;
    if (hybrid && flags & LIMITS) job.count = 4;
    for (int i = 0; i < job.count; i++) {
        snprintf(job.leaf[i], sizeof job.leaf[i], "%s/%s", parent_path[i], name);
        if (mkdirat(parent[i], name, 0755)) die(job.leaf[i]);
        if (i == 0 || !(flags & LIMITS)) continue;
        char path[128];
        snprintf(path, 128, "%s/%s", name, file[i]);
        put(parent[i], path, value[i]);
    }
    if (!job.count) return -1;
    int dir = openat(parent[0], name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (!hybrid && flags & LIMITS)
        for (int i = 0; i < 3; i++) put(dir, unified_file[i], unified_value[i]);
    if (flags & LIMITS && flags & BUNDLE && swap_limit) {
        char path[128];
        snprintf(path, 128, "%s/memory.memsw.limit_in_bytes", name);
        hybrid ? put(parent[1], path, value[1]) : put(dir, "memory.swap.max", "0");
    }
    if (flags & BUNDLE) attach(dir, BPF_F_ALLOW_MULTI);
    return dir;
}

static void remove_cgroups(int count, int number) {
    char name[32];
    snprintf(name, sizeof name, "%d-%d", getpid(), number);
    for (int i = 0; i < count; i++)
        while (unlinkat(parent[i], name, AT_REMOVEDIR))
            if (errno != EBUSY) die(name);
}

static pid_t launch(int flags, int number, const char *const *argv) {
    struct clone_args args = {.exit_signal = SIGCHLD, .flags = CLONE_VM | CLONE_VFORK};
    job.flags = flags, job.argv = argv;
    int dir = make_cgroups(flags, number);
    if (flags & (NS | BUNDLE))
        args.flags |= CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS;
    if (flags & NET) args.flags |= CLONE_NEWNET;
    if (job.count) args.flags |= CLONE_INTO_CGROUP, args.cgroup = dir;
    if (job.count == 1 && !(flags & NO_CGROUPNS)) args.flags |= CLONE_NEWCGROUP;
    pid_t pid = clone_child(&args);
    if (dir >= 0) close(dir);
    return pid;
}

double start(int flags, int number) {
    int status;
    double begun = now();
    pid_t pid = launch(flags, number, run_true);
    if (waitpid(pid, &status, 0) < 0 || status) fprintf(stderr, "child: %x\n", status), exit(1);
    remove_cgroups(job.count, number);
    return now() - begun;
}

/* All the times of as many starts as the workers get done. */
void start_flood(int flags, int milliseconds, int workers) {
    size_t size = (size_t)workers * (MOST_TIMES + 1) * sizeof(float);
    float *times = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (times == MAP_FAILED) die("mmap");
    double end = now() + milliseconds * 1e3;
    pid_t pids[256];
    for (int i = 0; i < workers; i++) {
        pids[i] = fork();
        if (pids[i]) continue;
        float *own = times + (size_t)i * (MOST_TIMES + 1);
        int done = 0;
        while (now() < end && done < MOST_TIMES) own[1 + done] = start(flags, done), done++;
        own[0] = done;
        _exit(0);
    }
    for (int i = 0, status; i < workers; i++)
        if (waitpid(pids[i], &status, 0) < 0 || status) exit(1);
    for (int i = 0; i < workers; i++) {
        float *own = times + (size_t)i * (MOST_TIMES + 1);
        for (int at = 0; at < own[0]; at++) printf("%.0f ", own[1 + at]);
    }
    puts("");
    munmap(times, size);
}

static pid_t parked[MOST_PARKED];
static int parked_count, parked_trees;

void start_park(int flags, int count) {
    for (; parked_count < count && parked_count < MOST_PARKED; parked_count++)
        parked[parked_count] = launch(flags, parked_count, run_sleep);
    parked_trees = job.count;
}

void start_unpark(void) {
    for (int i = 0; i < parked_count; i++) kill(parked[i], SIGKILL);
    for (int i = 0; i < parked_count; i++) waitpid(parked[i], 0, 0), remove_cgroups(parked_trees, i);
    parked_count = 0;
}

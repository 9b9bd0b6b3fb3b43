/* The kernel's own price of a start: the same clone3, mounts, cgroups and exec that a cell needs,
 * with no logic around them. What a launch costs beyond this is the driver's doing.
 *
 * Reads row numbers from standard input, one a line, does one start of that row, and answers with
 * its time in microseconds from before the first system call to after the last removal.
 *
 *   floor ROOTFS      ROOTFS holds a static bin/true and empty proc, sys, dev
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { NET = 1, LIMITS = 2 };

static const char *root;
static const char *tree; /* of cgroup v2 */
static int hybrid;
static char merged[256], options[9000];
static const char *v1[] = {"memory", "cpu", "pids"};
static const char *v1_file[] = {"memory.limit_in_bytes", "cpu.cfs_quota_us", "pids.max"};
static const char *v1_value[] = {"134217728", "50000", "64"};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static void die(const char *what) {
    perror(what);
    _exit(99);
}

static void put(const char *path, const char *value) {
    int fd = open(path, O_WRONLY);
    if (fd < 0 || write(fd, value, strlen(value)) < 0) die(path);
    close(fd);
}

static void build_root(int row) {
    const unsigned long strict = MS_NOSUID | MS_NOEXEC | MS_NODEV;
    if (mount(0, "/", 0, MS_REC | MS_SLAVE, 0)) die("slave");
    if (mount("overlay", merged, "overlay", 0, options)) die("overlay");
    if (chdir(merged)) die("chdir");
    if (mount("proc", "proc", "proc", strict, 0)) die("proc");
    if (mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k"))
        die("dev");
    mkdir("dev/pts", 0755), mkdir("dev/shm", 0755), mkdir("dev/mqueue", 0755);
    if (mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
              "newinstance,ptmxmode=0666,mode=0620"))
        die("pts");
    if (mount("shm", "dev/shm", "tmpfs", strict, "mode=1777,size=65536k")) die("shm");
    if (mount("mqueue", "dev/mqueue", "mqueue", strict, 0)) die("mqueue");
    if (mount("sysfs", "sys", "sysfs", MS_RDONLY | strict, 0) && (row & NET)) die("sysfs");
    const char *device[] = {"null", "zero", "full", "random", "urandom", "tty"};
    const int minor[] = {3, 5, 7, 8, 9, 0};
    for (int i = 0; i < 6; i++) {
        char path[64];
        snprintf(path, 64, "dev/%s", device[i]);
        if (mknod(path, S_IFCHR | 0666, makedev(i == 5 ? 5 : 1, minor[i]))) die(path);
    }
    const char *mask[] = {"proc/kcore", "proc/keys", "proc/timer_list"};
    for (int i = 0; i < 3; i++)
        if (!access(mask[i], F_OK) && mount("dev/null", mask[i], 0, MS_BIND, 0)) die(mask[i]);
    const char *ro[] = {"proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"};
    for (int i = 0; i < 5; i++) {
        if (access(ro[i], F_OK)) continue;
        if (mount(ro[i], ro[i], 0, MS_BIND | MS_REC, 0)) die(ro[i]);
        if (mount(0, ro[i], 0, MS_BIND | MS_REMOUNT | MS_RDONLY | strict, 0)) die(ro[i]);
    }
    if (syscall(SYS_pivot_root, ".", ".")) die("pivot_root");
    if (umount2(".", MNT_DETACH)) die("umount");
    sethostname("x", 1);
}

static double once(int row, int number) {
    char leaf[256], old[3][256], path[400];
    double start = now();
    snprintf(leaf, 256, "%s/floor-%d-%d", tree, getpid(), number);
    if (mkdir(leaf, 0755)) die(leaf);
    int split = hybrid && (row & LIMITS);
    if (!hybrid && (row & LIMITS)) {
        const char *file[] = {"memory.max", "pids.max", "cpu.max"};
        const char *value[] = {"134217728", "64", "50000 100000"};
        for (int i = 0; i < 3; i++) snprintf(path, 400, "%s/%s", leaf, file[i]), put(path, value[i]);
    }
    int dir = open(leaf, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; split && i < 3; i++) {
        snprintf(old[i], 256, "/sys/fs/cgroup/%s/floor-%d-%d", v1[i], getpid(), number);
        if (mkdir(old[i], 0755)) die(old[i]);
        snprintf(path, 400, "%s/%s", old[i], v1_file[i]);
        put(path, v1_value[i]);
    }
    struct clone_args args = {0};
    args.exit_signal = SIGCHLD;
    args.flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_INTO_CGROUP;
    if (row & NET) args.flags |= CLONE_NEWNET;
    if (!split) args.flags |= CLONE_NEWCGROUP;
    args.cgroup = dir;
    pid_t pid = syscall(SYS_clone3, &args, sizeof args);
    if (pid < 0) die("clone3");
    if (pid == 0) {
        for (int i = 0; split && i < 3; i++) snprintf(path, 400, "%s/tasks", old[i]), put(path, "0");
        if (split && unshare(CLONE_NEWCGROUP)) die("cgroup namespace");
        build_root(row);
        char *argv[] = {"/bin/true", 0}, *envp[] = {0};
        execve("/bin/true", argv, envp);
        die("exec");
    }
    int status;
    if (waitpid(pid, &status, 0) < 0 || status) fprintf(stderr, "child: %x\n", status), exit(1);
    close(dir);
    while (rmdir(leaf))
        if (errno != EBUSY) die("rmdir");
    for (int i = 0; split && i < 3; i++)
        while (rmdir(old[i]))
            if (errno != EBUSY) die("rmdir");
    return now() - start;
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    root = argv[1];
    hybrid = access("/sys/fs/cgroup/cgroup.controllers", F_OK) != 0;
    tree = hybrid ? "/sys/fs/cgroup/unified" : "/sys/fs/cgroup";
    char base[] = "/dev/shm/floorXXXXXX", part[3][64];
    if (!mkdtemp(base)) die("mkdtemp");
    const char *name[] = {"upper", "work", "merged"};
    for (int i = 0; i < 3; i++) snprintf(part[i], 64, "%s/%s", base, name[i]), mkdir(part[i], 0755);
    strcpy(merged, part[2]);
    snprintf(options, sizeof options, "lowerdir=%s,upperdir=%s,workdir=%s", root, part[0], part[1]);
    int row, number = 0;
    while (scanf("%d", &row) == 1) printf("%.1f\n", once(row, number++)), fflush(stdout);
    char work[80];
    snprintf(work, 80, "%s/work", part[1]);
    rmdir(work);
    for (int i = 0; i < 3; i++) rmdir(part[i]);
    return rmdir(base);
}

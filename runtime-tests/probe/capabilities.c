/* Each capability by a use of it that does no harm. */
#include "probe.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <time.h>

static char path[64];

/* A new file of ours, open. */
static int file(void) {
    if (!scratch()) return -1;
    unlink(path);
    return open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
}

static long give_away(void) {
    int fd = file();
    return fd < 0 ? -1 : fchown(fd, 1, 1);
}

/* Through a file that belongs to somebody else by then. */
static long change_foreign(void) {
    int fd = file();
    if (fd < 0 || fchown(fd, 1, -1)) return -1;
    return fchmod(fd, 0640);
}

static long open_foreign(void) {
    int fd = file();
    if (fd < 0 || fchmod(fd, 0) || fchown(fd, 1, -1)) return -1;
    return open(path, O_RDWR);
}

static long keep_set_gid(void) {
    struct stat now;
    int fd = file();
    if (fd < 0 || fchown(fd, -1, 1) || fchmod(fd, 02710) || fstat(fd, &now)) return -1;
    errno = EPERM;
    return now.st_mode & S_ISGID ? 0 : -1;
}

static long lease_foreign(void) {
    int fd = file();
    if (fd < 0 || fchown(fd, 1, -1)) return -1;
    return fcntl(fd, F_SETLEASE, F_WRLCK);
}

static long freeze_file(void) {
    int fd = file(), flags = 0;
    if (fd < 0 || ioctl(fd, FS_IOC_GETFLAGS, &flags)) return -1;
    flags |= FS_APPEND_FL;
    long value = ioctl(fd, FS_IOC_SETFLAGS, &flags);
    flags &= ~FS_APPEND_FL;
    if (value == 0) ioctl(fd, FS_IOC_SETFLAGS, &flags);
    return value;
}

static long give_capabilities(void) {
    unsigned data[5] = {0x02000001, 1, 0, 0, 0};
    int fd = file();
    return fd < 0 ? -1 : fsetxattr(fd, "security.capability", data, sizeof data, 0);
}

static long trusted_attribute(void) {
    int fd = file();
    return fd < 0 ? -1 : fsetxattr(fd, "trusted.probe", "x", 1, 0);
}

static long lock_memory(void) {
    struct rlimit none = {0, 0};
    void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return setrlimit(RLIMIT_MEMLOCK, &none) ? -1 : mlock(page, 4096);
}

static long raise_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit)) return -1;
    limit.rlim_max++;
    return setrlimit(RLIMIT_NOFILE, &limit);
}

static long make_node(mode_t kind) {
    unlink(path);
    return mknod(path, kind | 0600, makedev(1, 3));
}

static long raise_capabilities(void) {
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &head, data)) return -1;
    data[0].permitted |= 1 << CAP_SYS_ADMIN;
    data[0].effective |= 1 << CAP_SYS_ADMIN;
    return syscall(SYS_capset, &head, data);
}

static long wake_timer(void) {
    timer_t timer;
    return timer_create(CLOCK_BOOTTIME_ALARM, NULL, &timer);
}

static long write_own(const char *name, const char *text) {
    int fd = open(name, O_WRONLY);
    return fd < 0 ? -1 : write(fd, text, strlen(text));
}

void probe_capabilities(void) {
    snprintf(path, sizeof path, "%s/.probe", scratch() ? scratch() : "");
    struct sched_param priority = {1};
    gid_t group = 4;
    TRY("use", "CHOWN", give_away());
    TRY("use", "DAC_OVERRIDE", open_foreign());
    TRY("use", "FOWNER", change_foreign());
    TRY("use", "FSETID", keep_set_gid());
    TRY("use", "KILL-init", kill(1, 0));
    TRY("use", "SETGID", setresgid(65534, 65534, 65534));
    TRY("use", "SETGID-groups", setgroups(1, &group));
    TRY("use", "SETUID", setresuid(65534, 65534, 65534));
    TRY("use", "SETPCAP", prctl(PR_CAPBSET_DROP, 0));
    TRY("use", "LINUX_IMMUTABLE", freeze_file());
    TRY("use", "IPC_LOCK", lock_memory());
    TRY("use", "SYS_ADMIN-trusted-attribute", trusted_attribute());
    TRY("use", "SYS_NICE", setpriority(PRIO_PROCESS, 0, -1));
    TRY("use", "SYS_NICE-realtime", sched_setscheduler(0, SCHED_FIFO, &priority));
    TRY("use", "SYS_NICE-io-realtime", syscall(SYS_ioprio_set, 1, 0, 1 << 13));
    TRY("use", "SYS_RESOURCE", raise_limit());
    TRY("use", "SYS_RESOURCE-oom", write_own("/proc/self/oom_score_adj", "-1"));
    TRY("use", "MKNOD", make_node(S_IFCHR));
    TRY("use", "MKNOD-whiteout", (unlink(path), mknod(path, S_IFCHR, 0)));
    TRY("use", "LEASE", lease_foreign());
    TRY("use", "SETFCAP", give_capabilities());
    TRY("use", "WAKE_ALARM", wake_timer());
    TRY("use", "more-than-given", raise_capabilities());
    TRY("use", "setuid-root", setresuid(0, 0, 0));
    unlink(path);
}

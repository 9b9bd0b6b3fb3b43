/* The child's file systems: the plain rows', and those that a whole bundle asks for. */
#include "floor.h"

#include <linux/mount.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define STRICT (MS_NOSUID | MS_NOEXEC | MS_NODEV)

/* A path that is hidden or made read-only; those that this kernel lacks are left out at the start. */
struct path {
    const char *name;
    int is_dir;
};

static char upper[80], work[80], merged[80], empty[80], options[9000], own_options[4400];
static struct path cell_masks[16], spec_masks[16], read_only[8];

static void existing(struct path *out, const char *const *names) {
    for (; *names; names++) {
        struct stat found;
        char path[128];
        snprintf(path, sizeof path, "/%s", *names);
        if (!stat(path, &found)) *out++ = (struct path){*names, S_ISDIR(found.st_mode)};
    }
}

void root_prepare(void) {
    static const char *cell[] = {"proc/acpi", "proc/asound", "proc/dynamic_debug",
        "proc/interrupts", "proc/kcore", "proc/keys", "proc/latency_stats", "proc/sched_debug",
        "proc/scsi", "proc/timer_list", "proc/timer_stats", "sys/firmware",
        "sys/devices/virtual/powercap", 0};
    static const char *spec[] = {"proc/acpi", "proc/asound", "proc/kcore", "proc/keys",
        "proc/latency_stats", "proc/timer_list", "proc/timer_stats", "proc/sched_debug",
        "sys/firmware", "proc/scsi", 0};
    static const char *ro[] = {
        "proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger", 0};
    existing(cell_masks, cell), existing(spec_masks, spec), existing(read_only, ro);
    snprintf(upper, 80, "%s/upper", place), snprintf(work, 80, "%s/work", place);
    snprintf(merged, 80, "%s/merged", place), snprintf(empty, 80, "%s/empty", place);
    mkdir(upper, 0755), mkdir(work, 0755), mkdir(merged, 0755), mkdir(empty, 0755);
    snprintf(options, sizeof options, "lowerdir=%s,upperdir=%s,workdir=%s", lowers, upper, work);
    snprintf(own_options, sizeof own_options, "lowerdir=%s,upperdir=upper,workdir=work", lowers);
}

void root_forget(void) {
    char below[96];
    snprintf(below, 96, "%s/work", work);
    rmdir(below), rmdir(work), rmdir(upper), rmdir(merged), rmdir(empty);
}

static void attach(const char *type, const char *target, unsigned long flags, const char *data) {
    if (mount(type, target, type, flags, data)) die(target);
}

static void bind_mount(const char *source, const char *target, unsigned long flags) {
    if (mount(source, target, 0, MS_BIND | flags, 0)) die(target);
}

static void remount(const char *target, unsigned long flags) {
    if (mount(0, target, 0, MS_BIND | MS_REMOUNT | flags, 0)) die(target);
}

/* /dev and what stands in it, /sys. */
static void devices(void) {
    attach("tmpfs", "dev", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k");
    mkdir("dev/pts", 0755), mkdir("dev/shm", 0755), mkdir("dev/mqueue", 0755);
    attach("devpts", "dev/pts", MS_NOSUID | MS_NOEXEC,
           "newinstance,ptmxmode=0666,mode=0620,gid=5");
    attach("tmpfs", "dev/shm", STRICT, "mode=1777,size=65536k");
    attach("mqueue", "dev/mqueue", STRICT, 0);
    attach("sysfs", "sys", MS_RDONLY | STRICT, 0);
    const char *device[] = {"null", "zero", "full", "random", "urandom", "tty"};
    const int minor[] = {3, 5, 7, 8, 9, 0};
    for (int i = 0; i < 6; i++) {
        char path[64];
        snprintf(path, 64, "dev/%s", device[i]);
        if (mknod(path, S_IFCHR | 0666, makedev(i == 5 ? 5 : 1, minor[i]))) die(path);
    }
}

static void protect(const struct path *masks) {
    const char *hidden_dir = 0;
    for (; masks->name; masks++) {
        if (!masks->is_dir) {
            bind_mount("dev/null", masks->name, 0);
        } else if (hidden_dir) {
            bind_mount(hidden_dir, masks->name, 0);
        } else {
            bind_mount(empty, masks->name, 0);
            remount(masks->name, MS_RDONLY | STRICT);
            hidden_dir = masks->name;
        }
    }
    for (const struct path *ro = read_only; ro->name; ro++) {
        bind_mount(ro->name, ro->name, MS_REC);
        remount(ro->name, MS_RDONLY | STRICT);
    }
}

static void pivot(void) {
    if (syscall(SYS_pivot_root, ".", ".")) die("pivot_root");
    if (umount2(".", MNT_DETACH)) die("umount");
    sethostname("floor", 5);
}

/* The rows of the design: each flag adds its share. */
void plain_root(int flags) {
    if (mount(0, "/", 0, MS_REC | MS_SLAVE, 0)) die("slave");
    if (flags & OVERLAY)
        attach("overlay", merged, 0, options);
    else
        bind_mount(root, root, MS_REC);
    if (chdir(flags & OVERLAY ? merged : root)) die("chdir");
    attach("proc", "proc", STRICT, 0);
    if (flags & DEV) {
        static const struct path masks[] = {
            {"proc/kcore", 0}, {"proc/keys", 0}, {"proc/timer_list", 0}, {0, 0}};
        devices();
        for (const struct path *mask = masks; mask->name; mask++)
            if (!access(mask->name, F_OK)) bind_mount("dev/null", mask->name, 0);
        protect(masks + 3);
    }
    pivot();
}

/* The cell's own cgroups: one directory on a unified host, one for each hierarchy on a hybrid. */
static void cgroup_view(const char *const views[], const char *const names[]) {
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                                          MOUNT_ATTR_NOEXEC};
    const int recursive = 0x8000; /* AT_RECURSIVE, which older C libraries lack */
    if (!hybrid) {
        bind_mount(views[0], "sys/fs/cgroup", 0);
    } else {
        attach("tmpfs", "sys/fs/cgroup", STRICT, "mode=755");
        for (int i = 0; views[i]; i++) {
            char target[96];
            snprintf(target, 96, "sys/fs/cgroup/%s", names[i]);
            mkdir(target, 0755);
            bind_mount(views[i], target, 0);
        }
    }
    if (syscall(SYS_mount_setattr, AT_FDCWD, "sys/fs/cgroup", recursive, &attr, sizeof attr))
        die("sys/fs/cgroup");
}

static void loopback(void) {
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_LOOPBACK};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo)) die("lo");
}

/* All that a bundle asks for, in the fewest calls that do it. */
void bundle_root(int flags, const char *const views[], const char *const names[]) {
    if (mount(0, "/", 0, MS_REC | MS_SLAVE, 0)) die("slave");
    if (flags & BIND) {
        bind_mount(root, root, MS_REC);
        remount(root, MS_RDONLY);
        if (chdir(root)) die("chdir");
    } else {
        /* The layer's tmpfs is the cell's own, so that what it writes is charged to it. */
        attach("tmpfs", merged, MS_NOSUID | MS_NODEV, "mode=700");
        if (chdir(merged)) die("chdir");
        mkdir("upper", 0755), mkdir("work", 0700);
        attach("overlay", merged, 0, own_options);
        if (chdir(merged)) die("chdir");
    }
    attach("proc", "proc", STRICT, 0);
    devices();
    const char *link[] = {"/proc/self/fd", "dev/fd", "/proc/self/fd/0", "dev/stdin",
        "/proc/self/fd/1", "dev/stdout", "/proc/self/fd/2", "dev/stderr", "pts/ptmx", "dev/ptmx"};
    for (int i = 0; i < 10; i += 2)
        if (symlink(link[i], link[i + 1])) die(link[i + 1]);
    cgroup_view(views, names);
    protect(flags & BIND ? spec_masks : cell_masks);
    if (flags & NET) loopback();
    pivot();
}

/* Mounts, device nodes, and the files of /proc and /sys: what can be seen, opened and written. */
#include "probe.h"

#include <dirent.h>
#include <linux/limits.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define LENGTH(array) (sizeof(array) / sizeof *(array))

/* Opens without waiting and without becoming a controlling terminal. */
static int careful(const char *path, int how) {
    int fd = open(path, how | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return -1;
    close(fd);
    return 0;
}

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int visible(const struct dirent *entry) {
    return strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
}

/* Calls `each` for whatever lies below `directory`, links not followed, in the names' order. */
static void walk(const char *directory, int (*enter)(const char *),
                 void (*each)(const char *, const struct stat *)) {
    struct dirent **entries;
    int count = scandir(directory, &entries, visible, by_name);
    for (int i = 0; i < count; i++) {
        char path[PATH_MAX];
        struct stat what;
        snprintf(path, sizeof path, "%s/%s", directory, entries[i]->d_name);
        free(entries[i]);
        if (lstat(path, &what)) continue;
        each(path, &what);
        if (S_ISDIR(what.st_mode) && enter(path)) walk(path, enter, each);
    }
    if (count >= 0) free(entries);
}

static int always(const char *path) { return path != NULL; }

static void device(const char *path, const struct stat *what) {
    char text[PATH_MAX];
    unsigned mode = what->st_mode & 07777;
    if (S_ISLNK(what->st_mode)) {
        ssize_t length = readlink(path, text, sizeof text - 1);
        text[length < 0 ? 0 : length] = 0;
        line("device", path, "link:%s", text);
    } else if (S_ISDIR(what->st_mode)) {
        line("device", path, "directory,%o,%u:%u", mode, what->st_uid, what->st_gid);
    } else if (S_ISCHR(what->st_mode) || S_ISBLK(what->st_mode)) {
        line("device", path, "%s-%u:%u,%o,%u:%u", S_ISCHR(what->st_mode) ? "character" : "block",
             major(what->st_rdev), minor(what->st_rdev), mode, what->st_uid, what->st_gid);
    } else {
        line("device", path, "file,%o,%u:%u", mode, what->st_uid, what->st_gid);
    }
}

void probe_devices(void) { walk("/dev", always, device); }

static void try_device(const char *path, const struct stat *what) {
    if (!S_ISCHR(what->st_mode) && !S_ISBLK(what->st_mode)) return;
    TRY("device-read", path, careful(path, O_RDONLY));
    TRY("device-write", path, careful(path, O_WRONLY));
}

/* One line of the mount table: ID PARENT DEVICE ROOT TARGET OPTIONS [shared...] - TYPE SOURCE SUPER. */
static void mount_line(char *text, int tried) {
    char root[1024], target[1024], options[512], type[64], source[1024], super[2048];
    char *rest = strstr(text, " - ");
    if (!rest || sscanf(text, "%*d %*d %*s %1023s %1023s %511s", root, target, options) != 3 ||
        sscanf(rest, " - %63s %1023s %2047s", type, source, super) != 3)
        return;
    *rest = 0;
    const char *propagation = strstr(text, " shared:")   ? "shared"
                              : strstr(text, " master:") ? "slave"
                                                         : "private";
    if (!tried) {
        line("mount", target, "%s,root=%s,%s,super=%s,%s", type, root, options, super, propagation);
        return;
    }
    char path[1100];
    struct stat what;
    if (stat(target, &what)) {
        line("writable", target, "%s", error_name(errno));
        return;
    }
    snprintf(path, sizeof path, S_ISDIR(what.st_mode) ? "%s/.probe" : "%s", strcmp(target, "/") ? target : "");
    int how = S_ISDIR(what.st_mode) ? O_CREAT | O_EXCL : 0;
    if (S_ISCHR(what.st_mode) && what.st_rdev == makedev(1, 3)) {
        line("writable", target, "null-device");
        return;
    }
    TRY("writable", target, open(path, O_WRONLY | how | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW, 0600));
    if (S_ISDIR(what.st_mode)) unlink(path);
    /* The mount keeps what it has, but for being read-only. */
    unsigned long flags = MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV | MS_NOEXEC;
    TRY("remount", target, mount(NULL, target, NULL, flags, NULL));
}

static void mounts(int tried) {
    static char text[8192];
    FILE *file = fopen("/proc/self/mountinfo", "re");
    while (file && fgets(text, sizeof text, file)) mount_line(text, tried);
    if (file) fclose(file);
    else line("mount", "all", "%s", error_name(errno));
}

void probe_mounts(void) { mounts(0); }

static const struct {
    char kind;
    unsigned major, minor;
    const char *name;
} nodes[] = {
    {'c', 1, 1, "mem"}, {'c', 1, 2, "kmem"}, {'c', 1, 3, "null"}, {'c', 1, 4, "port"}, {'c', 1, 5, "zero"},
    {'c', 1, 7, "full"}, {'c', 1, 8, "random"}, {'c', 1, 9, "urandom"}, {'c', 1, 11, "kmsg"},
    {'c', 4, 0, "tty0"}, {'c', 4, 1, "tty1"}, {'c', 4, 64, "ttyS0"}, {'c', 5, 0, "tty"},
    {'c', 5, 1, "console"}, {'c', 5, 2, "ptmx"}, {'c', 5, 3, "ttyprintk"}, {'c', 7, 0, "vcs"},
    {'c', 10, 63, "vga_arbiter"}, {'c', 10, 125, "cpu_dma_latency"}, {'c', 10, 130, "watchdog"},
    {'c', 10, 135, "rtc"}, {'c', 10, 144, "nvram"}, {'c', 10, 183, "hwrng"}, {'c', 10, 200, "tun"},
    {'c', 10, 223, "uinput"}, {'c', 10, 228, "hpet"}, {'c', 10, 229, "fuse"}, {'c', 10, 231, "snapshot"},
    {'c', 10, 232, "kvm"}, {'c', 10, 234, "btrfs-control"}, {'c', 10, 235, "autofs"},
    {'c', 10, 236, "mapper"}, {'c', 10, 237, "loop-control"}, {'c', 10, 238, "vhost-net"},
    {'c', 10, 239, "uhid"}, {'c', 10, 241, "vhost-vsock"}, {'c', 10, 242, "rfkill"},
    {'c', 13, 63, "mice"}, {'c', 29, 0, "fb0"}, {'c', 108, 0, "ppp"}, {'c', 136, 0, "pts0"},
    {'c', 202, 0, "msr"}, {'c', 203, 0, "cpuid"}, {'c', 226, 0, "dri"}, {'c', 21, 0, "sg0"},
    {'b', 1, 0, "ram0"}, {'b', 7, 0, "loop0"}, {'b', 8, 0, "sda"}, {'b', 9, 0, "md0"},
    {'b', 43, 0, "nbd0"}, {'b', 202, 0, "xvda"}, {'b', 252, 0, "vda-252"}, {'b', 253, 0, "dm-253"},
    {'b', 254, 0, "vda-254"}, {'b', 259, 0, "nvme"},
};

static char node_path[64];

static long open_node(mode_t kind, unsigned major, unsigned minor) {
    unlink(node_path);
    if (mknod(node_path, kind | 0600, makedev(major, minor))) return -1;
    return careful(node_path, O_RDWR);
}

/* Whatever of a type opens, or fails for another reason than being forbidden. */
static const char *sweep(mode_t kind) {
    static char text[4096];
    size_t length = 0;
    for (unsigned major = 0; major <= 511; major++)
        for (unsigned minor = 0; minor < 2; minor++) {
            if (open_node(kind, major, minor) == -1 && (errno == EPERM || errno == EACCES)) continue;
            if (length < sizeof text - 32)
                length += snprintf(text + length, sizeof text - length, "%s%u:%u", length ? "," : "", major, minor);
        }
    return length ? text : "none";
}

void probe_nodes(void) {
    walk("/dev", always, try_device);
    snprintf(node_path, sizeof node_path, "%s/.probe", scratch() ? scratch() : "");
    for (unsigned i = 0; i < LENGTH(nodes); i++)
        TRY("node", nodes[i].name,
            open_node(nodes[i].kind == 'c' ? S_IFCHR : S_IFBLK, nodes[i].major, nodes[i].minor));
    if (begin()) answer(sweep(S_IFCHR));
    line("node", "not-forbidden-character", "%s", outcome());
    if (begin()) answer(sweep(S_IFBLK));
    line("node", "not-forbidden-block", "%s", outcome());
    unlink(node_path);
}

/* Our own part of /proc, links and what is one entry for each thread or descriptor are left out. */
static int outside_processes(const char *path) {
    const char *name = path + sizeof "/proc" - 1;
    return !(name[0] == '/' && name[1] >= '0' && name[1] <= '9');
}

static int plain_part(const char *path) {
    static const char *many[] = {"/task", "/fd", "/fdinfo", "/map_files"};
    for (unsigned i = 0; i < LENGTH(many); i++) {
        size_t length = strlen(many[i]), whole = strlen(path);
        if (whole > length && !strcmp(path + whole - length, many[i])) return 0;
    }
    return 1;
}

/* A file without any writer's bit opens for root and takes nothing. */
static void try_write(const char *path, const struct stat *what) {
    if (!S_ISREG(what->st_mode) || !(what->st_mode & 0222)) return;
    if (!careful(path, O_WRONLY)) line("write", path, "opens");
}

/* Hidden means that there is nothing to learn: not there, empty, or the null device. */
static void look(const char *path) {
    struct stat what;
    char byte;
    const char *seen = "readable";
    if (stat(path, &what)) {
        seen = errno == ENOENT ? "hidden" : error_name(errno);
    } else if (S_ISCHR(what.st_mode)) {
        seen = what.st_rdev == makedev(1, 3) ? "hidden" : "device";
    } else if (S_ISDIR(what.st_mode)) {
        struct dirent **entries;
        int count = scandir(path, &entries, visible, by_name);
        seen = count == 0 ? "hidden" : count < 0 ? error_name(errno) : "readable";
    } else {
        int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        ssize_t count = fd < 0 ? -1 : read(fd, &byte, 1);
        seen = count == 0 ? "hidden" : count < 0 ? error_name(errno) : "readable";
        if (fd >= 0) close(fd);
    }
    line("look", path, "%s", seen);
}

/* Kernel addresses are zeros to those who may not know them. */
static void addresses(void) {
    char text[64] = "";
    FILE *file = fopen("/proc/kallsyms", "re");
    const char *seen = file ? "empty" : error_name(errno);
    while (file && fgets(text, sizeof text, file))
        if (strspn(text, "0") < 16) seen = "addresses";
        else if (!strcmp(seen, "empty")) seen = "zeros";
    if (file) fclose(file);
    line("look", "/proc/kallsyms-addresses", "%s", seen);
}

static void init_files(void) {
    static const char *read[] = {"environ", "maps", "mem", "stack", "syscall", "auxv", "pagemap", "io"};
    static const char *links[] = {"exe", "cwd", "root", "fd/0", "fd/3"};
    if (getpid() == 1) return;
    for (unsigned i = 0; i < LENGTH(read); i++) {
        char path[64], byte;
        snprintf(path, sizeof path, "/proc/1/%s", read[i]);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        line("init-read", read[i], "%s", fd < 0 ? error_name(errno) : pread(fd, &byte, 1, 0) < 0 ? error_name(errno) : "opens");
        if (fd >= 0) close(fd);
    }
    for (unsigned i = 0; i < LENGTH(links); i++) {
        char path[64], target[256];
        snprintf(path, sizeof path, "/proc/1/%s", links[i]);
        line("init-link", links[i], "%s", readlink(path, target, sizeof target) < 0 ? error_name(errno) : "readable");
    }
    walk("/proc/1", plain_part, try_write);
}

void probe_files(void) {
    static const char *interesting[] = {
        "/proc/acpi", "/proc/asound", "/proc/bus/pci", "/proc/cmdline", "/proc/config.gz",
        "/proc/consoles", "/proc/driver", "/proc/dynamic_debug", "/proc/fs", "/proc/interrupts",
        "/proc/iomem", "/proc/ioports",
        "/proc/irq", "/proc/kallsyms", "/proc/kcore", "/proc/key-users", "/proc/keys", "/proc/kmsg",
        "/proc/kpagecgroup", "/proc/kpagecount", "/proc/kpageflags", "/proc/latency_stats",
        "/proc/mdstat", "/proc/modules", "/proc/mtrr", "/proc/pagetypeinfo", "/proc/partitions",
        "/proc/pressure", "/proc/sched_debug", "/proc/schedstat", "/proc/scsi", "/proc/slabinfo",
        "/proc/softirqs", "/proc/swaps", "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger",
        "/proc/timer_list", "/proc/timer_stats", "/proc/tty", "/proc/vmallocinfo", "/proc/vmstat",
        "/sys/class/dmi", "/sys/class/powercap", "/sys/devices/system/cpu/cpu0/thermal_throttle",
        "/sys/devices/virtual/powercap", "/sys/firmware", "/sys/firmware/acpi", "/sys/firmware/efi",
        "/sys/fs/bpf", "/sys/fs/fuse/connections", "/sys/fs/pstore", "/sys/fs/selinux", "/sys/hypervisor",
        "/sys/kernel/debug", "/sys/kernel/notes", "/sys/kernel/security", "/sys/kernel/slab",
        "/sys/kernel/tracing", "/sys/kernel/uevent_helper", "/sys/kernel/vmcoreinfo", "/sys/module",
        "/sys/power/state",
    };
    for (unsigned i = 0; i < LENGTH(interesting); i++) look(interesting[i]);
    addresses();
    mounts(1);
    walk("/proc", outside_processes, try_write);
    walk("/proc/self", plain_part, try_write);
    walk("/sys", always, try_write);
    init_files();
}

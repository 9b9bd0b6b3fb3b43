/* What the process was given: identity, privilege, limits, descriptors, signals, namespaces. */
#include "probe.h"

#include <dirent.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>

extern char **environ;

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static const char *capability_names[] = {
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID",
    "SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW",
    "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT",
    "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD",
    "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG",
    "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE"};

static void capabilities(const char *set, unsigned long long bits) {
    char text[1024] = "";
    for (unsigned i = 0; i < 64; i++) {
        if (!(bits >> i & 1)) continue;
        char number[8];
        const char *name = capability_names[i < LENGTH(capability_names) ? i : 0];
        if (i >= LENGTH(capability_names)) name = (snprintf(number, sizeof number, "%u", i), number);
        if (text[0]) strcat(text, ",");
        strcat(text, name);
    }
    line("capabilities", set, "%s", text[0] ? text : "none");
}

/* The lines of /proc/self/status that are nobody's business but this process's. */
static void status(void) {
    char text[512];
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(text, sizeof text, file)) {
        char *value = strchr(text, ':');
        if (!value) continue;
        *value++ = 0;
        value += strspn(value, " \t");
        value[strcspn(value, "\n")] = 0;
        static const char *sets[] = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"};
        static const char *names[] = {"inheritable", "permitted", "effective", "bounding", "ambient"};
        for (int i = 0; i < 5; i++)
            if (!strcmp(text, sets[i])) capabilities(names[i], strtoull(value, NULL, 16));
        static const char *plain[] = {"Umask", "Uid", "Gid", "Groups", "NoNewPrivs", "Seccomp",
                                      "SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt", "TracerPid",
                                      "CoreDumping", "THP_enabled", "Threads"};
        for (unsigned i = 0; i < LENGTH(plain); i++) {
            if (strcmp(text, plain[i])) continue;
            for (char *c = value; *c; c++)
                if (*c == '\t' || (*c == ' ' && c[1])) *c = ',';
                else if (*c == ' ') *c = 0;
            line("process", text, "%s", value[0] ? value : "none");
        }
    }
    if (file) fclose(file);
    else line("process", "status", "unreadable");
}

static void whole(const char *key, const char *path) {
    char text[512];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (length < 0) {
        line("process", key, "%s", error_name(errno));
    } else {
        text[length] = 0;
        text[strcspn(text, "\n")] = 0;
        line("process", key, "%s", text);
    }
    if (fd >= 0) close(fd);
}

static void settings(void) {
    char text[4096];
    line("process", "pid", "%d", getpid());
    line("process", "parent", "%s", getppid() == 0 ? "outside" : getppid() == 1 ? "init" : "other");
    line("process", "session", "%s", getsid(0) == getpid() ? "own" : getsid(0) == 0 ? "outside" : "inherited");
    line("process", "group", "%s", getpgid(0) == getpid() ? "own" : getpgid(0) == 0 ? "outside" : "inherited");
    int terminal = open("/dev/tty", O_RDWR | O_CLOEXEC);
    line("process", "terminal", "%s", terminal < 0 ? error_name(errno) : "open");
    if (terminal >= 0) close(terminal);
    line("process", "cwd", "%s", getcwd(text, sizeof text) ? text : error_name(errno));
    line("process", "dumpable", "%d", prctl(PR_GET_DUMPABLE));
    line("process", "securebits", "%#x", prctl(PR_GET_SECUREBITS));
    line("process", "keepcaps", "%d", prctl(PR_GET_KEEPCAPS));
    line("process", "timer-slack", "%d", prctl(PR_GET_TIMERSLACK));
    int signal = -1;
    prctl(PR_GET_PDEATHSIG, &signal);
    line("process", "death-signal", "%d", signal);
    prctl(PR_GET_CHILD_SUBREAPER, &signal);
    line("process", "subreaper", "%d", signal);
    line("process", "thp-disabled", "%d", prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
    line("process", "personality", "%#x", personality(0xffffffff));
    line("process", "policy", "%d", sched_getscheduler(0));
    line("process", "nice", "%d", getpriority(PRIO_PROCESS, 0));
    line("process", "io-priority", "%ld", syscall(SYS_ioprio_get, 1, 0));
    struct itimerval timer;
    getitimer(ITIMER_REAL, &timer);
    line("process", "timer", "%s", timer.it_value.tv_sec || timer.it_value.tv_usec ? "set" : "none");
    cpu_set_t cpus;
    int count = sched_getaffinity(0, sizeof cpus, &cpus) ? -1 : CPU_COUNT(&cpus);
    line("process", "affinity", "%s", count == sysconf(_SC_NPROCESSORS_ONLN) ? "all" : "some");
    whole("oom_score_adj", "/proc/self/oom_score_adj");
    whole("coredump_filter", "/proc/self/coredump_filter");
    whole("loginuid", "/proc/self/loginuid");
    whole("sessionid", "/proc/self/sessionid");
    whole("uid_map", "/proc/self/uid_map");
    whole("setgroups", "/proc/self/setgroups");
    line("process", "hostname", "%s", gethostname(text, sizeof text) ? "?" : text);
    line("process", "domainname", "%s", getdomainname(text, sizeof text) ? "?" : text);
    for (char **variable = environ; *variable; variable++) {
        char *value = strchr(*variable, '=');
        snprintf(text, sizeof text, "%.*s", (int)(value ? value - *variable : 0), *variable);
        if (strcmp(text, "HOST_NAMESPACES")) line("environment", text, "%s", value ? value + 1 : "");
    }
}

static void limits(void) {
    static const char *names[] = {"CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE",
                                  "MEMLOCK", "AS", "LOCKS", "SIGPENDING", "MSGQUEUE", "NICE",
                                  "RTPRIO", "RTTIME"};
    for (int i = 0; i < 16; i++) {
        struct rlimit limit;
        char text[2][32];
        if (getrlimit(i, &limit)) continue;
        rlim_t values[] = {limit.rlim_cur, limit.rlim_max};
        for (int j = 0; j < 2; j++)
            if (values[j] == RLIM_INFINITY) strcpy(text[j], "unlimited");
            else snprintf(text[j], sizeof text[j], "%llu", (unsigned long long)values[j]);
        line("limit", names[i], "%s:%s", text[0], text[1]);
    }
}

static void descriptors(void) {
    DIR *directory = opendir("/proc/self/fd");
    if (!directory) {
        line("descriptor", "all", "%s", error_name(errno));
        return;
    }
    struct dirent *entry;
    while ((entry = readdir(directory))) {
        int fd = atoi(entry->d_name);
        struct stat what;
        if (entry->d_name[0] == '.' || fd == dirfd(directory) || fstat(fd, &what)) continue;
        static const char *modes[] = {"read", "write", "read-write", "path"};
        int flags = fcntl(fd, F_GETFL);
        const char *mode = modes[flags & O_PATH ? 3 : flags & 3];
        char kind[64] = "file";
        if (S_ISCHR(what.st_mode))
            snprintf(kind, sizeof kind, "character-%u:%u", major(what.st_rdev), minor(what.st_rdev));
        if (S_ISFIFO(what.st_mode)) strcpy(kind, "pipe");
        if (S_ISSOCK(what.st_mode)) strcpy(kind, "socket");
        if (S_ISDIR(what.st_mode)) strcpy(kind, "directory");
        line("descriptor", entry->d_name, "%s,%s%s", kind, mode, flags & O_NONBLOCK ? ",nonblocking" : "");
    }
    closedir(directory);
}

static void namespaces(void) {
    static const char *kinds[] = {"pid", "mnt", "net", "ipc", "uts", "cgroup", "user", "time"};
    const char *host = getenv("HOST_NAMESPACES");
    for (unsigned i = 0; i < LENGTH(kinds); i++) {
        char path[64], own[64], first[64];
        snprintf(path, sizeof path, "/proc/self/ns/%s", kinds[i]);
        ssize_t length = readlink(path, own, sizeof own - 1);
        if (length < 0) {
            line("namespace-of", kinds[i], "%s", error_name(errno));
            continue;
        }
        own[length] = 0;
        int hosts = host && strstr(host, own);
        snprintf(path, sizeof path, "/proc/1/ns/%s", kinds[i]);
        length = readlink(path, first, sizeof first - 1);
        if (length >= 0) first[length] = 0;
        line("namespace-of", kinds[i], "%s,%s", hosts ? "host" : "own",
             length < 0 ? "pid1-hidden" : strcmp(own, first) ? "not-pid1's" : "pid1's");
    }
}

/* Where the process stands in each hierarchy, as seen from inside. */
static void cgroups(void) {
    char text[512];
    FILE *file = fopen("/proc/self/cgroup", "r");
    while (file && fgets(text, sizeof text, file)) {
        char *name = strchr(text, ':'), *path = name ? strchr(name + 1, ':') : NULL;
        if (!path) continue;
        *path++ = 0;
        path[strcspn(path, "\n")] = 0;
        const char *shown = !strcmp(path, "/") ? "root" : strstr(path, "..") ? "outside" : "below";
        line("cgroup", name[1] ? name + 1 : "unified", "%s", shown);
    }
    if (file) fclose(file);
}

void probe_state(void) {
    descriptors();
    status();
    settings();
    limits();
    namespaces();
    cgroups();
}

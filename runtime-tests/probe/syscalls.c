/* Every system call by its number, with arguments that no call takes, in its own child. */
#include "probe.h"

#include <sys/time.h>

enum { HIGHEST = 600 };

#if defined(__x86_64__)
static long raw(long number, const long *a) {
    long value;
    register long r10 __asm__("r10") = a[3];
    register long r8 __asm__("r8") = a[4];
    register long r9 __asm__("r9") = a[5];
    __asm__ volatile("syscall"
                     : "=a"(value)
                     : "0"(number), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return value;
}

static long raw_i386(long number) {
    long value;
    __asm__ volatile("int $0x80"
                     : "=a"(value)
                     : "0"(number), "b"(-1), "c"(-1), "d"(-1), "S"(-1), "D"(-1)
                     : "r8", "r9", "r10", "r11", "memory");
    return (int)value;
}
#else
static long raw(long number, const long *a) {
    long value = syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    return value == -1 ? -errno : value;
}
#endif

/* Calls that answer ENOSYS or EPERM to nonsense themselves get arguments that they know. */
static void arguments(long number, long *a) {
    for (int i = 0; i < 6; i++) a[i] = -1;
    switch (number) {
    case SYS_futex: a[0] = 0, a[1] = 1, a[2] = 0; break;
#ifdef SYS_modify_ldt
    case SYS_modify_ldt: a[0] = 0, a[1] = 0, a[2] = 0; break;
#endif
    case SYS_shmget: a[1] = 0, a[2] = 0; break;
    case SYS_msgget: a[1] = 0; break;
    }
}

static void end_with(long value) {
    errno = -value;
    finish(value < 0 && value >= -4095 ? -1 : 0);
}

/* A filter's answer or the kernel's; what else the kernel says depends on its version. */
static const char *reach(void) {
    const char *what = outcome();
    if (!strcmp(what, "EPERM") || !strcmp(what, "ENOSYS") || !strcmp(what, "killed-SIGSYS"))
        return what;
    return "reached";
}

static void one(const char *section, long number, long bit) {
    char key[16];
    long a[6];
    snprintf(key, sizeof key, "%ld", number);
    if (number == SYS_sync && !bit) {
        /* It waits for every disk of the host; syncfs, which needs a descriptor, is tried. */
        line(section, key, "not-tried");
        return;
    }
    arguments(number, a);
    /* A copy of the child ends here as the child does. */
    if (begin()) {
#ifdef SYS_pause
        /* A signal ends the only call that waits. */
        struct itimerval soon = {.it_value.tv_usec = 200000};
        if (number == SYS_pause) setitimer(ITIMER_REAL, &soon, NULL);
#endif
        end_with(raw(number | bit, a));
    }
    line(section, key, "%s", reach());
}

void probe_system_calls(int count, char **numbers) {
    if (count > 0) {
        for (int i = 0; i < count; i++) one("syscall", atol(numbers[i]), 0);
        return;
    }
    for (long number = 0; number <= HIGHEST; number++) one("syscall", number, 0);
#if defined(__x86_64__)
    /* The x32 calls: a bit that selects another table. */
    static const long x32[] = {0, 1, 39, 41, 57, 101, 165, 250, 272, 321, 425, 435, 512, 520, 547};
    for (unsigned i = 0; i < sizeof x32 / sizeof *x32; i++) one("x32", x32[i], 0x40000000);
    /* The 32-bit calls, of which some hide their arguments behind a pointer. */
    static const struct {
        long number;
        const char *name;
    } i386[] = {{20, "getpid"},     {21, "mount"},       {26, "ptrace"},      {102, "socketcall"},
                {110, "iopl"},      {113, "vm86old"},    {117, "ipc"},        {120, "clone"},
                {123, "modify_ldt"}, {136, "personality"}, {166, "vm86"},     {217, "pivot_root"},
                {224, "gettid"},    {283, "kexec_load"}, {288, "keyctl"},     {310, "unshare"},
                {336, "perf_event_open"}, {346, "setns"}, {357, "bpf"},       {359, "socket"},
                {374, "userfaultfd"}, {425, "io_uring_setup"}, {435, "clone3"}};
    for (unsigned i = 0; i < sizeof i386 / sizeof *i386; i++) {
        if (begin()) end_with(raw_i386(i386[i].number));
        line("i386", i386[i].name, "%s", reach());
    }
#endif
}

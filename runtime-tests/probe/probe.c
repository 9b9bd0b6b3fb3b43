/* Tries everything that a process could do to get out of its confinement, without harm, and says
 * what came of it: one line "SECTION KEY VALUE" for each try. The tests compare the lines with
 * tables, with each other and with what other runtimes' containers can do.
 *
 *   probe all                 everything
 *   probe state               what is given: identity, limits, descriptors, mounts, devices
 *   probe syscalls [N...]     each system call of 0 to 600, or those
 *   HOST_NAMESPACES="pid:[1] mnt:[2] ..." in the environment tells which namespaces are the host's
 *
 * cc -O1 -static -o probe *.c
 */
#include "probe.h"

#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

/* What a child tells its parent. */
static struct {
    volatile int began, done, error;
    volatile long value;
    char text[4096];
} *report;

static pid_t child;
static char result[4200];

void line(const char *section, const char *key, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    printf("%s %s ", section, key);
    vprintf(format, arguments);
    putchar('\n');
    va_end(arguments);
}

const char *error_name(int error) {
    const char *name = strerrorname_np(error);
    return name ? name : "unknown";
}

int begin(void) {
    fflush(stdout);
    memset(report, 0, sizeof *report);
    child = fork();
    if (child < 0) {
        perror("probe: fork");
        exit(99);
    }
    if (child) return 0;
    errno = 0;
    report->began = 1;
    return 1;
}

static void leave(void) {
    report->done = 1;
    syscall(SYS_exit_group, 0);
    __builtin_trap();
}

void finish(long value) {
    report->error = errno;
    report->value = value;
    leave();
    __builtin_unreachable();
}

void answer(const char *text) {
    snprintf(report->text, sizeof report->text, "%s", text);
    leave();
    __builtin_unreachable();
}

/* Nothing that is tried waits for anything; a busy host may take its time. */
static int ended(int *status) {
    struct timespec pause = {0, 50000};
    for (int rounds = 0; rounds < 2000; rounds++) {
        if (waitpid(child, status, WNOHANG) == child) return 1;
        nanosleep(&pause, NULL);
        if (rounds > 10) pause.tv_nsec = 10000000;
    }
    return 0;
}

const char *outcome(void) {
    int status = 0;
    if (!ended(&status)) {
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
        return "blocks";
    }
    if (report->text[0]) {
        snprintf(result, sizeof result, "%s", report->text);
        return result;
    }
    if (report->done) return report->value == -1 ? error_name(report->error) : "done";
    if (WIFSIGNALED(status)) {
        snprintf(result, sizeof result, "killed-SIG%s", sigabbrev_np(WTERMSIG(status)));
        return result;
    }
    return "ends";
}

const char *scratch(void) {
    static const char *found;
    static const char *places[] = {"", "/tmp", "/dev/shm", "/dev"};
    for (unsigned i = 0; !found && i < 4; i++) {
        char path[64];
        snprintf(path, sizeof path, "%s/.probe", places[i]);
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0) continue;
        close(fd);
        unlink(path);
        found = places[i];
    }
    return found;
}

static int section(const char *name) {
    if (!strcmp(name, "all")) return 3;
    return strcmp(name, "state") ? 0 : 1;
}

int main(int count, char **arguments) {
    static char buffer[1 << 16];
    const char *what = count > 1 ? arguments[1] : "";
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    /* Before anything else changes it. */
    if (section(what)) {
        probe_state();
        probe_devices();
        probe_mounts();
    }
    report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (report == MAP_FAILED) {
        perror("probe: mmap");
        return 99;
    }
    if (!strcmp(what, "syscalls")) {
        probe_system_calls(count - 2, arguments + 2);
    } else if (section(what) == 3) {
        probe_files();
        probe_nodes();
        probe_capabilities();
        probe_sockets();
        probe_calls();
        probe_system_calls(0, NULL);
    } else if (!section(what)) {
        fputs("usage: probe all | state | syscalls [NUMBER...]\n", stderr);
        return 2;
    }
    return fflush(stdout) ? 99 : 0;
}

/* Lies in wait for processes that appear beside it in its PID namespace, and looks into them for
 * whatever does not belong to the cell.
 *
 *   lurker lurk     until SIGTERM; one line for each thing seen, each once, "early one" at the first
 *                   visitor who had not executed its command yet, then how many were seen: "seen N"
 *                   visitors, "caught N" of them early
 *   lurker visit    comes and goes
 *
 * cc -O1 -static -o lurker lurker.c
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t over;
static char said[256][512];
static int lines, seen, caught;
static struct stat root;

static void end(int signal) {
    (void)signal;
    over = 1;
}

/* Each line once. */
static void say(const char *what, const char *target) {
    char line[512];
    snprintf(line, sizeof line, "%s %s", what, target);
    for (int at = 0; at < lines; at++)
        if (!strcmp(said[at], line)) return;
    if (lines == 256) return;
    strcpy(said[lines++], line);
    puts(line);
    fflush(stdout);
}

static int look(pid_t pid, const char *name) {
    char path[300], target[400];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    ssize_t length = readlink(path, target, sizeof target - 1);
    if (length < 0) return 0;
    target[length] = 0;
    say(strncmp(name, "fd/", 3) ? name : "fd", target);
    return strstr(target, "hotcell-init") != NULL;
}

/* What a directory is that is not below our root: another cell's, made like ours, or one with nothing
 * in it but the place that cells are built on. */
static const char *content(const char *path) {
    DIR *open_one = opendir(path);
    if (!open_one) return "closed";
    const char *what = "empty";
    struct dirent *entry;
    while ((entry = readdir(open_one))) {
        if (entry->d_name[0] == '.' || !strcmp(entry->d_name, "scratch")) continue;
        what = strstr(" bin dev etc proc sys tmp ", entry->d_name) ? "alike" : "elsewhere";
        if (*what == 'e') break;
    }
    closedir(open_one);
    return what;
}

/* A directory that is not below our root, or a program that can be written to. */
static void reach(pid_t pid) {
    char path[300];
    struct stat found;
    snprintf(path, sizeof path, "/proc/%d/root", pid);
    if (!stat(path, &found) && (found.st_dev != root.st_dev || found.st_ino != root.st_ino))
        say("root", content(path));
    snprintf(path, sizeof path, "/proc/%d/cwd/..", pid);
    if (!stat(path, &found) && (found.st_dev != root.st_dev || found.st_ino != root.st_ino))
        say("cwd", content(path));
    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        /* A sealed memory file opens, and takes nothing. */
        if (write(fd, "x", 1) == 1) say("exe", "written");
        close(fd);
    }
    for (int number = 3; number < 16; number++) {
        snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, number);
        fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd >= 0) {
            char target[300];
            ssize_t length = readlink(path, target, sizeof target - 1);
            target[length < 0 ? 0 : length] = 0;
            say("opened", target);
            close(fd);
        }
    }
}

static void capabilities(pid_t pid) {
    char path[300], text[4096];
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0) close(fd);
    if (length <= 0) return;
    text[length] = 0;
    char *at = strstr(text, "CapPrm:\t");
    if (at) {
        at[8 + 16] = 0;
        say("permitted", at + 8);
    }
}

static void inspect(pid_t pid) {
    int early = look(pid, "exe");
    look(pid, "cwd");
    look(pid, "root");
    capabilities(pid);
    char path[300];
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    DIR *open_ones = opendir(path);
    if (open_ones) {
        struct dirent *entry;
        while ((entry = readdir(open_ones))) {
            if (entry->d_name[0] == '.') continue;
            snprintf(path, sizeof path, "fd/%s", entry->d_name);
            look(pid, path);
        }
        closedir(open_ones);
    }
    early |= look(pid, "exe");
    reach(pid);
    seen++;
    caught += early;
    if (early) say("early", "one");
}

/* Stops it if we may, to look at leisure. */
static void meet(pid_t pid) {
    int held = !ptrace(PTRACE_SEIZE, pid, 0, 0) && !ptrace(PTRACE_INTERRUPT, pid, 0, 0);
    int status;
    if (held && waitpid(pid, &status, __WALL) != pid) held = 0;
    inspect(pid);
    if (held) ptrace(PTRACE_DETACH, pid, 0, 0);
}

/* The last number given out in our PID namespace. */
static pid_t last_given(void) {
    char text[128];
    int fd = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    if (length <= 0) return 0;
    text[length] = 0;
    return atoi(strrchr(text, ' '));
}

static int lurk(void) {
    struct sigaction action = {.sa_handler = end};
    sigaction(SIGTERM, &action, NULL);
    if (stat("/", &root)) return 1;
    pid_t next = getpid() + 1;
    puts("ready");
    fflush(stdout);
    while (!over) {
        if (kill(next, 0) && errno == ESRCH) {
            /* Not there yet, or gone before we looked. */
            if (last_given() >= next) next++;
            continue;
        }
        meet(next++);
    }
    printf("seen %d\ncaught %d\n", seen, caught);
    return 0;
}

int main(int count, char **arguments) {
    if (count > 1 && !strcmp(arguments[1], "lurk")) return lurk();
    if (count > 1 && !strcmp(arguments[1], "visit")) return 0;
    for (;;) pause();
}

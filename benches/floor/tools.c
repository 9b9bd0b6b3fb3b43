/* Small programs that the benchmarks need beside the floor. */
#include "floor.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <spawn.h>
#include <sys/prctl.h>

extern char **environ;

/* For each round the time in which a forked child's filter is loaded, in microseconds, one a line. */
int load(int rounds) {
    static struct sock_filter code[4096];
    struct sock_fprog program = {fread(code, sizeof code[0], 4096, stdin), code};
    for (int round = 0; round < rounds; round++) {
        int ends[2];
        double took = -1;
        if (pipe(ends)) return 1;
        pid_t child = fork();
        if (child == 0) {
            prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            double start = now();
            long answer = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
            took = answer ? -1 : now() - start;
            _exit(write(ends[1], &took, sizeof took) != sizeof took);
        }
        close(ends[1]);
        if (child < 0 || read(ends[0], &took, sizeof took) != sizeof took || took < 0) return 1;
        close(ends[0]);
        waitpid(child, 0, 0);
        printf("%.3f\n", took);
    }
    return 0;
}

static int spawn_one(char **argv, posix_spawn_file_actions_t *actions) {
    pid_t pid;
    int status = 0;
    if (posix_spawnp(&pid, argv[0], actions, 0, argv, environ) || waitpid(pid, &status, 0) < 0)
        status = -1;
    return status;
}

/* Executes each line's commands, whose words are parted by tabs, from a process of a few pages; a ";"
 * stands between two. What they leave behind becomes this process's, as it would an engine's. */
int spawn(void) {
    static char line[65536];
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)) die("subreaper");
    while (fgets(line, sizeof line, stdin)) {
        char *argv[256];
        int count = 0, status = 0;
        line[strcspn(line, "\n")] = 0;
        for (char *word = strtok(line, "\t"); word && count < 255; word = strtok(0, "\t"))
            argv[count++] = strcmp(word, ";") ? word : 0;
        argv[count] = 0;
        double cpu = cpu_time(), start = now();
        for (char **first = argv; first < argv + count && !status; first++) {
            status = spawn_one(first, &actions);
            while (*first) first++;
        }
        double took = now() - start;
        while (waitpid(-1, 0, WNOHANG) > 0);
        if (status)
            printf("failed with status %d\n", status);
        else
            printf("%.1f %.1f\n", took, cpu_time() - cpu);
        fflush(stdout);
    }
    return 0;
}

static void own_mounts(void) {
    if (unshare(CLONE_NEWNS)) die("unshare");
    if (mount(0, "/", 0, MS_REC | MS_PRIVATE, 0)) die("private");
}

static int run(char **command) {
    execvp(command[0], command);
    die(command[0]);
}

/* The directories for the mounts stand on a tmpfs that goes with the namespace. */
int among_mounts(int count, char **command) {
    char base[] = "/dev/shm/mountsXXXXXX";
    own_mounts();
    if (!mkdtemp(base) || (count && mount("tmpfs", base, "tmpfs", 0, 0))) die(base);
    for (int i = 1; i < count; i++) {
        char path[64];
        snprintf(path, 64, "%s/%d", base, i);
        if (mkdir(path, 0755) || mount(base, path, 0, MS_BIND, 0)) die(path);
    }
    pid_t pid = fork();
    if (pid == 0) return run(command);
    int status;
    if (waitpid(pid, &status, 0) < 0) die("wait");
    umount2(base, MNT_DETACH);
    rmdir(base);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int under_unified(char **command) {
    own_mounts();
    if (mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, 0)) die("cgroup2");
    return run(command);
}

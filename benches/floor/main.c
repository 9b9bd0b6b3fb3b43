/* The kernel's own price of a start: the clone3, mounts, cgroups, filters and exec that a cell needs,
 * with no logic around them. What a launch costs beyond this is the driver's doing.
 *
 *   floor serve ROOTFS FILTER    answers requests, one a line:
 *       start FLAGS              does one start; answers with its microseconds, from before the first
 *                                system call to after the last removal, and those of CPU time
 *       flood FLAGS MS WORKERS   as many as WORKERS processes get done in MS; all their times
 *       park FLAGS COUNT         starts cells that sleep; unpark ends them
 *   floor load ROUNDS            loads the system call filter on standard input
 *   floor spawn                  executes each line's command and answers with its microseconds
 *   floor among-mounts N CMD...  executes CMD where N file systems more are mounted
 *   floor under-unified CMD...   executes CMD where /sys/fs/cgroup is the v2 tree
 *
 * ROOTFS holds static bin/true and bin/sleep and empty proc, sys, dev. It may be several directories,
 * topmost first, with colons between them: the layers of an overlay. FILTER is a file of system call
 * filter instructions. */
#include "floor.h"

#include <sys/resource.h>

const char *lowers, *root;
char place[64] = "/dev/shm/floorXXXXXX";
int hybrid;

double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

void die(const char *what) {
    perror(what);
    _exit(99);
}

double cpu_time(void) {
    struct rusage own, others;
    getrusage(RUSAGE_SELF, &own), getrusage(RUSAGE_CHILDREN, &others);
    struct timeval all[] = {own.ru_utime, own.ru_stime, others.ru_utime, others.ru_stime};
    double sum = 0;
    for (int i = 0; i < 4; i++) sum += all[i].tv_sec * 1e6 + all[i].tv_usec;
    return sum;
}

static void measured(int flags, int number) {
    double before = cpu_time(), took = start(flags, number);
    printf("%.1f %.1f\n", took, cpu_time() - before);
}

static int serve(void) {
    char line[256];
    int flags, first, second, number = 0;
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "start %d", &flags) == 1)
            measured(flags, number++);
        else if (sscanf(line, "flood %d %d %d", &flags, &first, &second) == 3)
            start_flood(flags, first, second);
        else if (sscanf(line, "park %d %d", &flags, &first) == 2)
            start_park(flags, first), puts("0");
        else if (!strcmp(line, "unpark\n"))
            start_unpark(), puts("0");
        else
            return 2;
        fflush(stdout);
    }
    return 0;
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    if (!strcmp(what, "load") && argc == 3) return load(atoi(argv[2]));
    if (!strcmp(what, "spawn")) return spawn();
    if (!strcmp(what, "among-mounts") && argc > 3) return among_mounts(atoi(argv[2]), argv + 3);
    if (!strcmp(what, "under-unified") && argc > 2) return under_unified(argv + 2);
    if (strcmp(what, "serve") || argc != 4) return 2;
    lowers = argv[2];
    root = strndup(lowers, strcspn(lowers, ":"));
    umask(0);
    /* Whoever asked may go before the answer; what was made is removed all the same. */
    signal(SIGPIPE, SIG_IGN);
    hybrid = access("/sys/fs/cgroup/cgroup.controllers", F_OK) != 0;
    if (!mkdtemp(place)) die("mkdtemp");
    root_prepare();
    start_prepare(argv[3]);
    int status = serve();
    start_forget();
    root_forget();
    if (rmdir(place)) die(place);
    return status;
}

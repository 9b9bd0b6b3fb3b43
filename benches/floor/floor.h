/* What the parts of the floor share. */
#ifndef FLOOR_H
#define FLOOR_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
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

/* What a start consists of. The first six are the plain rows: each adds its share to the one before.
 * BUNDLE is a whole cell instead, to which NET, LIMITS, SECCOMP and BIND apply. */
enum {
    NS = 1,        /* mount, PID, IPC and UTS namespaces, root, proc, pivot */
    NET = 2,       /* a network namespace */
    OVERLAY = 4,   /* the root is an overlay, else a bind */
    DEV = 8,       /* /dev, /dev/pts, /dev/shm, /dev/mqueue, /sys, masks, read-only paths */
    CGROUP = 16,   /* a v2 cgroup, a cgroup namespace */
    LIMITS = 32,   /* memory, CPU and processes limited; on hybrid hosts three more cgroups */
    BUNDLE = 64,   /* all that a bundle of the driver's asks for */
    SECCOMP = 128, /* ... with its system call filter */
    BIND = 256,    /* ... as `runc spec` writes it: a read-only bind for a root, three capabilities */
    NO_CGROUPNS = 1024, /* ... in the host's cgroup namespace */
};

extern const char *lowers; /* the directories of the shared root, topmost first, colons between them */
extern const char *root;   /* the topmost */
extern char place[64];   /* a temporary directory on a tmpfs, on which the child may mount */
extern int hybrid;       /* v1 controllers beside the v2 tree */

double now(void);
double cpu_time(void); /* of this process and those it awaited, in microseconds */
void die(const char *what) __attribute__((noreturn));

/* root.c: the child's mounts. */
void root_prepare(void);
void plain_root(int flags);
void bundle_root(int flags, const char *const views[], const char *const view_names[]);
void root_forget(void);

/* start.c: whole starts. */
void start_prepare(const char *filter);
double start(int flags, int number);
void start_flood(int flags, int milliseconds, int workers);
void start_park(int flags, int count);
void start_unpark(void);
void start_forget(void);

/* tools.c: what else is easier said in C. */
int load(int rounds);
int spawn(void);
int among_mounts(int count, char **command);
int under_unified(char **command);

#endif

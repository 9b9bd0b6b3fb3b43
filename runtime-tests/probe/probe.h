/* One try in one child, one line of output for it: what the parts of the probe share. */
#pragma once
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Prints "SECTION KEY VALUE". */
void line(const char *section, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Forks; true in the child, which has to end with finish(). The parent waits for it. */
int begin(void);
/* Ends the child with what a call returned; -1 means that errno counts. */
void finish(long value) __attribute__((noreturn));
/* Ends the child with words of its own. */
void answer(const char *text) __attribute__((noreturn));
/* What the last child found: "done", the name of an errno, "killed-SIGSYS", "blocks" or words. */
const char *outcome(void);
/* The name of an errno, as outcome() gives it. */
const char *error_name(int error);

/* Evaluates the expression in a child and prints what came of it. */
#define TRY(section, key, expression)            \
    do {                                         \
        if (begin()) finish((long)(expression)); \
        line(section, key, "%s", outcome());     \
    } while (0)

/* A directory that can be written to, or NULL. */
const char *scratch(void);

void probe_state(void);
void probe_devices(void);
void probe_mounts(void);
void probe_system_calls(int count, char **numbers);
void probe_calls(void);
void probe_sockets(void);
void probe_capabilities(void);
void probe_nodes(void);
void probe_files(void);

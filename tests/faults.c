/* Lets system calls fail as a bad disk would, in the process that loads this before the C library:
 *
 *     LD_PRELOAD=faults.so FAULTS="write=.qbg-:28:3 open=/in/:5:2" qbg remove in out
 *
 * Each fault is CALL=PART:ERROR:EVERY. Every EVERY-th call whose file's path holds PART fails with that
 * errno; ERROR `short` makes a write take half of its bytes. Calls: open, read, write, fsync, close, rename.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OPEN, READ, WRITE, FSYNC, CLOSE, RENAME, CALLS };
static const char *const NAMES[CALLS] = {"open", "read", "write", "fsync", "close", "rename"};
enum { NONE = 0, SHORT = -1 };

struct fault {
    char part[64];
    int error;
    int every;
    atomic_int count;
};
static struct fault faults[CALLS];

__attribute__((constructor)) static void read_faults(void) {
    const char *text = getenv("FAULTS");
    char copy[1024];
    if (!text) return;
    snprintf(copy, sizeof copy, "%s", text);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) {
        char name[16], part[64], error[16];
        int every;
        if (sscanf(word, "%15[^=]=%63[^:]:%15[^:]:%d", name, part, error, &every) != 4) abort();
        for (int i = 0; i < CALLS; i++) {
            if (strcmp(name, NAMES[i])) continue;
            strcpy(faults[i].part, part);
            faults[i].error = strcmp(error, "short") ? atoi(error) : SHORT;
            faults[i].every = every;
        }
    }
}

/* The errno to fail with, SHORT, or NONE. */
static int hit(int call, const char *path) {
    struct fault *fault = &faults[call];
    if (!fault->every || !path || !strstr(path, fault->part)) return NONE;
    return (atomic_fetch_add(&fault->count, 1) + 1) % fault->every ? NONE : fault->error;
}

static int hit_fd(int call, int fd) {
    char link[32], path[4096];
    if (!faults[call].every) return NONE;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return NONE;
    path[n] = 0;
    return hit(call, path);
}

#define NEXT(type, name, ...) ((type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name))

static int opened(const char *name, const char *path, int flags, mode_t mode) {
    int error = hit(OPEN, path);
    if (error) return errno = error, -1;
    return ((int (*)(const char *, int, ...))dlsym(RTLD_NEXT, name))(path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return opened("open", path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return opened("open64", path, flags, mode);
}

ssize_t read(int fd, void *to, size_t bytes) {
    int error = hit_fd(READ, fd);
    if (error) return errno = error, -1;
    return NEXT(ssize_t, read, int, void *, size_t)(fd, to, bytes);
}

ssize_t write(int fd, const void *from, size_t bytes) {
    int error = hit_fd(WRITE, fd);
    if (error > 0) return errno = error, -1;
    if (error == SHORT && bytes > 1) bytes /= 2;
    return NEXT(ssize_t, write, int, const void *, size_t)(fd, from, bytes);
}

int fsync(int fd) {
    int error = hit_fd(FSYNC, fd);
    if (error) return errno = error, -1;
    return NEXT(int, fsync, int)(fd);
}

int close(int fd) {
    int error = hit_fd(CLOSE, fd);
    int done = NEXT(int, close, int)(fd);
    if (error) return errno = error, -1;
    return done;
}

int rename(const char *from, const char *to) {
    int error = hit(RENAME, from);
    if (error) return errno = error, -1;
    return NEXT(int, rename, const char *, const char *)(from, to);
}

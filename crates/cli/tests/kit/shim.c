/* Faults that a file system or a clock would make, between the program and the kernel. What is to fail is a file in
 * the directory that PORTCULLIS_TEST_FAULTS names: `eio` (fsync fails), `erofs` (nothing can be written), `clock` (the
 * wall clock is so many seconds off). Looked at in every call, so that a running program can be told. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int order(const char *name, char *text, size_t size) {
    char path[512];
    const char *dir = getenv("PORTCULLIS_TEST_FAULTS");
    if (!dir) return 0;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    int kept = errno;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) {
        errno = kept;
        return 0;
    }
    ssize_t got = text ? read(fd, text, size - 1) : 0;
    if (text) text[got > 0 ? got : 0] = 0;
    close(fd);
    errno = kept;
    return 1;
}

static int fails(const char *name, int error) {
    if (!order(name, NULL, 0)) return 0;
    errno = error;
    return 1;
}

/* A pipe or a socket is on no file system. */
static int is_file(int fd) {
    struct stat found;
    return fstat(fd, &found) == 0 && S_ISREG(found.st_mode);
}

int fsync(int fd) { return fails("eio", EIO) ? -1 : (int)syscall(SYS_fsync, fd); }
int fdatasync(int fd) { return fails("eio", EIO) ? -1 : (int)syscall(SYS_fdatasync, fd); }

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at) {
    return fails("erofs", EROFS) ? -1 : syscall(SYS_pwrite64, fd, bytes, size, at);
}
ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at) { return pwrite64(fd, bytes, size, at); }
ssize_t write(int fd, const void *bytes, size_t size) {
    return is_file(fd) && fails("erofs", EROFS) ? -1 : syscall(SYS_write, fd, bytes, size);
}
int ftruncate64(int fd, off64_t size) { return fails("erofs", EROFS) ? -1 : (int)syscall(SYS_ftruncate, fd, size); }
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

int clock_gettime(clockid_t clock, struct timespec *now) {
    char text[32];
    int done = (int)syscall(SYS_clock_gettime, clock, now);
    if (done == 0 && clock == CLOCK_REALTIME && order("clock", text, sizeof text)) now->tv_sec += atoll(text);
    return done;
}

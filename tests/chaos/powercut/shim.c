/*
 * Loaded before a program (LD_PRELOAD), it writes down what the program does to the files below
 * one folder, so that the folder can be built again as it might be after a power cut.
 *
 *   HYDROGEN_POWERCUT_FOLDER   the folder, an absolute path without symbolic links
 *   HYDROGEN_POWERCUT_LOG      the file that the operations are appended to
 *
 * A record is written once its operation has succeeded, in the same lock, so that the log has the
 * order of the operations; a sync tells besides what was before it when it began. Files that end
 * in "-shm" are left alone: they are memory that is shared. What cannot be followed aborts the
 * program: written mappings, and calls that write without passing their bytes.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define SHIM "powercut"
#include "../shim.h"

enum kind { OPEN = 1, WRITE, TRUNCATE, SYNC, RENAME, UNLINK, MKDIR, SYNC_FOLDER, SYNC_ALL };

struct head {
    uint32_t magic, kind;
    uint64_t at_ns, inode, a, b;
    uint32_t path_bytes, data_bytes;
};

#define MAGIC 0x54554350u

static struct { unsigned char is_tracked, is_synced; uint64_t inode; } table[DESCRIPTORS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int log_fd = -1;
static uint64_t records;

__attribute__((constructor)) static void begin(void) {
    const char *root = getenv("HYDROGEN_POWERCUT_FOLDER"), *path = getenv("HYDROGEN_POWERCUT_LOG");
    if (!root || !path) return;
    watch(root);
    int fd = REAL(openat)(AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    /* Far from what the program counts on. */
    log_fd = fd < 0 ? -1 : REAL(fcntl)(fd, F_DUPFD_CLOEXEC, 900);
    if (log_fd < 0) fatal("a log that cannot be opened");
    REAL(close)(fd);
}

static void record(enum kind kind, uint64_t inode, uint64_t a, uint64_t b, const char *path, const void *data,
                   size_t data_bytes) {
    int kept = errno;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    struct head head = {MAGIC, kind, now.tv_sec * 1000000000ull + now.tv_nsec, inode, a, b, strlen(path), data_bytes};
    struct iovec parts[3] = {{&head, sizeof head}, {(void *)path, head.path_bytes}, {(void *)data, data_bytes}};
    ssize_t all = sizeof head + head.path_bytes + data_bytes;
    if (REAL(writev)(log_fd, parts, 3) != all) fatal("a log that takes no more");
    records++;
    errno = kept;
}

static int is_tracked(int fd) { return log_fd >= 0 && fd >= 0 && fd < DESCRIPTORS && table[fd].is_tracked; }

/* Opening and closing */

static int open_any(int dir, const char *path, int flags, mode_t mode) {
    char full[PATH_MAX];
    const char *name = below(dir, path, full);
    if (!name || is_shared(name)) return REAL(openat)(dir, path, flags, mode);
    if ((flags & O_TMPFILE) == O_TMPFILE) fatal("a file without a name");
    pthread_mutex_lock(&lock);
    struct stat found;
    int was_there = !lstat(full, &found);
    int fd = REAL(openat)(dir, path, flags, mode), kept = errno;
    if (fd >= DESCRIPTORS) fatal("so large a descriptor");
    if (fd >= 0 && !fstat(fd, &found) && S_ISREG(found.st_mode)) {
        table[fd].is_tracked = 1;
        table[fd].is_synced = (flags & O_DSYNC) != 0;
        table[fd].inode = found.st_ino;
        int truncates = (flags & O_TRUNC) && (flags & O_ACCMODE) != O_RDONLY;
        record(OPEN, found.st_ino, !was_there, truncates, name, "", 0);
    }
    pthread_mutex_unlock(&lock);
    errno = kept;
    return fd;
}

int open(const char *path, int flags, ...) { MODE(flags, flags) return open_any(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags, flags) return open_any(AT_FDCWD, path, flags, mode); }
int openat(int dir, const char *path, int flags, ...) { MODE(flags, flags) return open_any(dir, path, flags, mode); }
int openat64(int dir, const char *path, int flags, ...) { MODE(flags, flags) return open_any(dir, path, flags, mode); }
int __open_2(const char *path, int flags) { return open_any(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return open_any(AT_FDCWD, path, flags, 0); }
int __openat_2(int dir, const char *path, int flags) { return open_any(dir, path, flags, 0); }
int __openat64_2(int dir, const char *path, int flags) { return open_any(dir, path, flags, 0); }
int creat(const char *path, mode_t mode) { return open_any(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return open_any(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

int close(int fd) {
    if (!is_tracked(fd)) return REAL(close)(fd);
    pthread_mutex_lock(&lock);
    table[fd].is_tracked = 0;
    int result = REAL(close)(fd);
    pthread_mutex_unlock(&lock);
    return result;
}

static int copied(int from, int to) {
    if (log_fd < 0 || to < 0 || to >= DESCRIPTORS || from >= DESCRIPTORS || from == to) return to;
    pthread_mutex_lock(&lock);
    table[to] = table[from];
    pthread_mutex_unlock(&lock);
    return to;
}

int dup(int fd) { return copied(fd, REAL(dup)(fd)); }
int dup2(int fd, int to) { return copied(fd, REAL(dup2)(fd, to)); }
int dup3(int fd, int to, int flags) { return copied(fd, REAL(dup3)(fd, to, flags)); }

static int control(int fd, int command, void *argument) {
    int result = REAL(fcntl)(fd, command, argument);
    return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? copied(fd, result) : result;
}

#define ARGUMENT(last)                                    \
    va_list rest;                                         \
    va_start(rest, last);                                 \
    void *argument = va_arg(rest, void *);                \
    va_end(rest);

int fcntl(int fd, int command, ...) { ARGUMENT(command) return control(fd, command, argument); }
int fcntl64(int fd, int command, ...) { ARGUMENT(command) return control(fd, command, argument); }

/* Writing */

static void written(int fd, uint64_t offset, const void *data, size_t bytes) {
    record(WRITE, table[fd].inode, offset, 0, "", data, bytes);
    if (table[fd].is_synced) record(SYNC, table[fd].inode, records, 0, "", "", 0);
}

/* Writes at the descriptor's place if `offset` is negative. */
static ssize_t write_any(int fd, const void *data, size_t bytes, off_t offset) {
    pthread_mutex_lock(&lock);
    ssize_t count = offset < 0 ? REAL(write)(fd, data, bytes) : REAL(pwrite)(fd, data, bytes, offset);
    int kept = errno;
    if (count > 0) written(fd, offset < 0 ? lseek(fd, 0, SEEK_CUR) - count : offset, data, count);
    pthread_mutex_unlock(&lock);
    errno = kept;
    return count;
}

static ssize_t write_parts(int fd, const struct iovec *parts, int count, off_t offset) {
    size_t bytes = 0;
    for (int at = 0; at < count; at++) bytes += parts[at].iov_len;
    char *all = malloc(bytes ? bytes : 1), *end = all;
    if (!all) fatal("so large a write");
    for (int at = 0; at < count; at++) {
        memcpy(end, parts[at].iov_base, parts[at].iov_len);
        end += parts[at].iov_len;
    }
    ssize_t result = write_any(fd, all, bytes, offset);
    free(all);
    return result;
}

ssize_t write(int fd, const void *data, size_t bytes) {
    return is_tracked(fd) ? write_any(fd, data, bytes, -1) : REAL(write)(fd, data, bytes);
}

#define PWRITE(name)                                                                                         \
    ssize_t name(int fd, const void *data, size_t bytes, off_t offset) {                                     \
        return is_tracked(fd) ? write_any(fd, data, bytes, offset) : REAL(name)(fd, data, bytes, offset);    \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

ssize_t writev(int fd, const struct iovec *parts, int count) {
    return is_tracked(fd) ? write_parts(fd, parts, count, -1) : REAL(writev)(fd, parts, count);
}

#define PWRITEV(name)                                                                                        \
    ssize_t name(int fd, const struct iovec *parts, int count, off_t offset) {                               \
        return is_tracked(fd) ? write_parts(fd, parts, count, offset) : REAL(name)(fd, parts, count, offset); \
    }
PWRITEV(pwritev)
PWRITEV(pwritev64)

#define FTRUNCATE(name)                                                                     \
    int name(int fd, off_t bytes) {                                                         \
        if (!is_tracked(fd)) return REAL(name)(fd, bytes);                                  \
        pthread_mutex_lock(&lock);                                                          \
        int result = REAL(name)(fd, bytes);                                                 \
        if (!result) record(TRUNCATE, table[fd].inode, bytes, 0, "", "", 0);                \
        pthread_mutex_unlock(&lock);                                                        \
        return result;                                                                      \
    }
FTRUNCATE(ftruncate)
FTRUNCATE(ftruncate64)

#define TRUNCATE_PATH(name)                                                                 \
    int name(const char *path, off_t bytes) {                                               \
        char full[PATH_MAX];                                                                \
        const char *known = below(AT_FDCWD, path, full);                                    \
        if (!known || is_shared(known)) return REAL(name)(path, bytes);                     \
        pthread_mutex_lock(&lock);                                                          \
        struct stat found;                                                                  \
        int result = REAL(name)(path, bytes);                                               \
        if (!result && !stat(full, &found)) {                                               \
            record(OPEN, found.st_ino, 0, 0, known, "", 0);                                 \
            record(TRUNCATE, found.st_ino, bytes, 0, "", "", 0);                            \
        }                                                                                   \
        pthread_mutex_unlock(&lock);                                                        \
        return result;                                                                      \
    }
TRUNCATE_PATH(truncate)
TRUNCATE_PATH(truncate64)

/* Syncing */

static int sync_any(int fd, int (*sync)(int)) {
    struct stat found;
    char link[64], path[PATH_MAX], full[PATH_MAX];
    const char *name = "";
    enum kind kind = SYNC;
    if (log_fd < 0 || fstat(fd, &found)) return sync(fd);
    if (S_ISDIR(found.st_mode)) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t bytes = readlink(link, path, sizeof path - 1);
        if (bytes < 0) return sync(fd);
        path[bytes] = 0;
        name = below(AT_FDCWD, path, full);
        if (!name) return sync(fd);
        kind = SYNC_FOLDER;
    } else if (!is_tracked(fd)) {
        return sync(fd);
    }
    pthread_mutex_lock(&lock);
    uint64_t before = records;
    pthread_mutex_unlock(&lock);
    int result = sync(fd);
    if (!result) {
        pthread_mutex_lock(&lock);
        record(kind, found.st_ino, before, 0, name, "", 0);
        pthread_mutex_unlock(&lock);
    }
    return result;
}

int fsync(int fd) { return sync_any(fd, REAL(fsync)); }
int fdatasync(int fd) { return sync_any(fd, REAL(fdatasync)); }

static void sync_all_from(uint64_t before) {
    if (log_fd < 0) return;
    pthread_mutex_lock(&lock);
    record(SYNC_ALL, 0, before, 0, "", "", 0);
    pthread_mutex_unlock(&lock);
}

void sync(void) {
    uint64_t before = records;
    REAL(sync)();
    sync_all_from(before);
}

int syncfs(int fd) {
    uint64_t before = records;
    int result = REAL(syncfs)(fd);
    if (!result) sync_all_from(before);
    return result;
}

/* Names */

static int rename_any(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
    char from_full[PATH_MAX], to_full[PATH_MAX];
    const char *from_name = below(from_dir, from, from_full), *to_name = below(to_dir, to, to_full);
    if (!from_name && !to_name) return REAL(renameat2)(from_dir, from, to_dir, to, flags);
    if (!from_name || !to_name) fatal("a rename into or out of the folder");
    if (flags & ~(unsigned)RENAME_NOREPLACE) fatal("an exchange of names");
    pthread_mutex_lock(&lock);
    int result = REAL(renameat2)(from_dir, from, to_dir, to, flags);
    if (!result) record(RENAME, 0, 0, 0, from_name, to_name, strlen(to_name));
    pthread_mutex_unlock(&lock);
    return result;
}

int rename(const char *from, const char *to) { return rename_any(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int from_dir, const char *from, int to_dir, const char *to) {
    return rename_any(from_dir, from, to_dir, to, 0);
}
int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
    return rename_any(from_dir, from, to_dir, to, flags);
}

static int unlink_any(int dir, const char *path, int flags) {
    char full[PATH_MAX];
    const char *name = below(dir, path, full);
    if (!name || is_shared(name)) return REAL(unlinkat)(dir, path, flags);
    pthread_mutex_lock(&lock);
    int result = REAL(unlinkat)(dir, path, flags);
    if (!result) record(UNLINK, 0, 0, 0, name, "", 0);
    pthread_mutex_unlock(&lock);
    return result;
}

int unlink(const char *path) { return unlink_any(AT_FDCWD, path, 0); }
int unlinkat(int dir, const char *path, int flags) { return unlink_any(dir, path, flags); }
int rmdir(const char *path) { return unlink_any(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char *path) {
    struct stat found;
    int is_folder = !lstat(path, &found) && S_ISDIR(found.st_mode);
    return unlink_any(AT_FDCWD, path, is_folder ? AT_REMOVEDIR : 0);
}

static int mkdir_any(int dir, const char *path, mode_t mode) {
    char full[PATH_MAX];
    const char *name = below(dir, path, full);
    if (!name) return REAL(mkdirat)(dir, path, mode);
    pthread_mutex_lock(&lock);
    int result = REAL(mkdirat)(dir, path, mode);
    if (!result) record(MKDIR, 0, 0, 0, name, "", 0);
    pthread_mutex_unlock(&lock);
    return result;
}

int mkdir(const char *path, mode_t mode) { return mkdir_any(AT_FDCWD, path, mode); }
int mkdirat(int dir, const char *path, mode_t mode) { return mkdir_any(dir, path, mode); }

#include "refused.h"

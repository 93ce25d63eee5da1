/*
 * Loaded before a program (LD_PRELOAD), it makes trouble for the files below one folder, as a disk
 * and the system above it may.
 *
 *   HYDROGEN_TROUBLE_FOLDER   the folder, an absolute path without symbolic links
 *   HYDROGEN_TROUBLE_ORDERS   the file with what to do, which may be written at any time
 *
 * Of each file it knows what is on the disk, page by page. A write is in memory alone until the
 * file is synced. A sync that fails leaves its pages in memory as clean, so that the next sync
 * passes over them, or takes back what they held: systems do either. When the power is cut, every
 * file gets what is on the disk, and the program ends. Names are on the disk at once.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
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

#define SHIM "trouble"
#include "../shim.h"

#define PAGE 4096
#define FILES 4096

/* What is ordered; the page of the orders file. As in shim.rs. */
struct orders {
    uint32_t write_error; /* writes fail with this */
    uint32_t syncs_fail;  /* so many syncs fail */
    uint32_t is_dropped;  /* whether a sync that fails takes back what was written */
    uint32_t sync_ms;     /* syncs take so long */
    uint32_t cut;         /* the power goes with the next operation */
    uint32_t failed;      /* told: operations that failed as ordered */
};

struct file {
    dev_t device;
    ino_t inode;
    int fd; /* of its own, so that the inode is not given to another file */
    unsigned char *disk, *is_dirty;
    off_t disk_bytes;
    size_t pages;
};

static volatile struct orders *orders;
static struct file files[FILES];
static int file_count;
static struct file *table[DESCRIPTORS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void begin(void) {
    const char *root = getenv("HYDROGEN_TROUBLE_FOLDER"), *path = getenv("HYDROGEN_TROUBLE_ORDERS");
    if (!root || !path) return;
    int fd = REAL(openat)(AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
    void *map = fd < 0 ? MAP_FAILED : REAL(mmap)(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) fatal("orders that cannot be read");
    REAL(close)(fd);
    orders = map;
    watch(root);
}

static struct file *tracked(int fd) { return fd >= 0 && fd < DESCRIPTORS ? table[fd] : NULL; }

/* The disk */

static void grow(struct file *file, off_t bytes) {
    size_t pages = (bytes + PAGE - 1) / PAGE;
    if (pages <= file->pages) return;
    pages += pages / 2;
    file->disk = realloc(file->disk, pages * PAGE);
    file->is_dirty = realloc(file->is_dirty, pages);
    if (!file->disk || !file->is_dirty) fatal("so large a file");
    memset(file->disk + file->pages * PAGE, 0, (pages - file->pages) * PAGE);
    memset(file->is_dirty + file->pages, 0, pages - file->pages);
    file->pages = pages;
}

static off_t size_of(struct file *file) {
    struct stat found;
    if (fstat(file->fd, &found)) fatal("a file that is lost");
    return found.st_size;
}

/* All dirty pages are on the disk now. */
static void settle(struct file *file) {
    off_t bytes = size_of(file);
    grow(file, bytes);
    for (size_t page = 0; page < file->pages; page++) {
        if (!file->is_dirty[page]) continue;
        unsigned char *at = file->disk + page * PAGE;
        memset(at, 0, PAGE);
        if (REAL(pread)(file->fd, at, PAGE, page * PAGE) < 0) fatal("a page that cannot be read");
        file->is_dirty[page] = 0;
    }
    file->disk_bytes = bytes;
}

/* The file holds what is on the disk: all of it, or only what was dirty. */
static void take_back(struct file *file, int all) {
    for (size_t page = 0; page < file->pages; page++) {
        if ((all || file->is_dirty[page]) && (off_t)(page * PAGE) < file->disk_bytes) {
            off_t rest = file->disk_bytes - (off_t)(page * PAGE);
            REAL(pwrite)(file->fd, file->disk + page * PAGE, rest < PAGE ? rest : PAGE, page * PAGE);
        }
        file->is_dirty[page] = 0;
    }
    if (REAL(ftruncate)(file->fd, file->disk_bytes)) fatal("a file that cannot be cut");
}

/* The power may go before any operation. Called with the lock held. */
static void maybe_cut(void) {
    if (!orders->cut) return;
    for (int at = 0; at < file_count; at++) take_back(&files[at], 1);
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

static void dirty(struct file *file, off_t from, off_t bytes) {
    grow(file, from + bytes);
    for (off_t page = from / PAGE; page * PAGE < from + bytes; page++) file->is_dirty[page] = 1;
}

/* Opening and closing */

static struct file *known(int fd) {
    struct stat found;
    if (fstat(fd, &found) || !S_ISREG(found.st_mode)) return NULL;
    for (int at = 0; at < file_count; at++)
        if (files[at].inode == found.st_ino && files[at].device == found.st_dev) return &files[at];
    if (file_count == FILES) fatal("so many files");
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int own = REAL(openat)(AT_FDCWD, link, O_RDWR | O_CLOEXEC, 0);
    if (own < 0) return NULL;
    struct file *file = &files[file_count++];
    *file = (struct file){.device = found.st_dev, .inode = found.st_ino};
    file->fd = REAL(fcntl)(own, F_DUPFD_CLOEXEC, 900);
    if (file->fd < 0) fatal("so many files");
    REAL(close)(own);
    /* What was there before the program is on the disk. */
    dirty(file, 0, found.st_size);
    settle(file);
    return file;
}

static int refused(int error) {
    orders->failed++;
    errno = error;
    return -1;
}

static int open_any(int dir, const char *path, int flags, mode_t mode) {
    char full[PATH_MAX];
    const char *name = below(dir, path, full);
    if (!name || is_shared(name)) return REAL(openat)(dir, path, flags, mode);
    pthread_mutex_lock(&lock);
    maybe_cut();
    struct stat found;
    int is_new = stat(full, &found) != 0, writes = (flags & O_ACCMODE) != O_RDONLY;
    int error = orders->write_error, fd;
    if (error && (is_new ? (flags & O_CREAT) != 0 : error == EROFS && writes)) {
        fd = refused(error);
    } else {
        fd = REAL(openat)(dir, path, flags & ~O_TRUNC, mode);
        int kept = errno;
        if (fd >= DESCRIPTORS) fatal("so large a descriptor");
        if (fd >= 0) table[fd] = known(fd);
        if (fd >= 0 && (flags & O_TRUNC) && REAL(ftruncate)(fd, 0)) fatal("a file that cannot be cut");
        errno = kept;
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

int open(const char *path, int flags, ...) { MODE(flags, flags) return open_any(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags, flags) return open_any(AT_FDCWD, path, flags, mode); }
int openat(int dir, const char *path, int flags, ...) { MODE(flags, flags) return open_any(dir, path, flags, mode); }
int openat64(int dir, const char *path, int flags, ...) { MODE(flags, flags) return open_any(dir, path, flags, mode); }
int creat(const char *path, mode_t mode) { return open_any(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

int close(int fd) {
    if (!tracked(fd)) return REAL(close)(fd);
    pthread_mutex_lock(&lock);
    table[fd] = NULL;
    int result = REAL(close)(fd);
    pthread_mutex_unlock(&lock);
    return result;
}

/* Writing */

static ssize_t write_any(int fd, const void *data, size_t bytes, off_t offset) {
    pthread_mutex_lock(&lock);
    maybe_cut();
    ssize_t count;
    if (orders->write_error) {
        count = refused(orders->write_error);
    } else {
        if (offset < 0) offset = lseek(fd, 0, SEEK_CUR);
        count = REAL(pwrite)(fd, data, bytes, offset);
        if (count > 0) dirty(tracked(fd), offset, count);
    }
    pthread_mutex_unlock(&lock);
    return count;
}

ssize_t write(int fd, const void *data, size_t bytes) {
    if (!tracked(fd)) return REAL(write)(fd, data, bytes);
    ssize_t count = write_any(fd, data, bytes, -1);
    if (count > 0) lseek(fd, count, SEEK_CUR);
    return count;
}

#define PWRITE(name)                                                                                      \
    ssize_t name(int fd, const void *data, size_t bytes, off_t offset) {                                  \
        return tracked(fd) ? write_any(fd, data, bytes, offset) : REAL(name)(fd, data, bytes, offset);    \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

#define FTRUNCATE(name)                                                                   \
    int name(int fd, off_t bytes) {                                                       \
        struct file *file = tracked(fd);                                                  \
        if (!file) return REAL(name)(fd, bytes);                                          \
        pthread_mutex_lock(&lock);                                                        \
        maybe_cut();                                                                      \
        int result = orders->write_error == EROFS ? refused(EROFS) : REAL(name)(fd, bytes); \
        if (!result && bytes % PAGE) dirty(file, bytes, 1);                               \
        pthread_mutex_unlock(&lock);                                                      \
        return result;                                                                    \
    }
FTRUNCATE(ftruncate)
FTRUNCATE(ftruncate64)

ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (tracked(fd)) fatal("writev");
    return REAL(writev)(fd, parts, count);
}

/* These write without passing the bytes: whoever calls them is told to write himself. */
ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t bytes, unsigned flags) {
    if (!tracked(to)) return REAL(copy_file_range)(from, from_at, to, to_at, bytes, flags);
    errno = EXDEV;
    return -1;
}

ssize_t sendfile64(int to, int from, off64_t *offset, size_t bytes) {
    if (!tracked(to)) return REAL(sendfile64)(to, from, offset, bytes);
    errno = EINVAL;
    return -1;
}

/* Syncing */

static int sync_any(int fd, int (*sync)(int)) {
    struct file *file = tracked(fd);
    if (!file) return sync(fd);
    struct timespec wait = {orders->sync_ms / 1000, orders->sync_ms % 1000 * 1000000l};
    if (orders->sync_ms) nanosleep(&wait, NULL);
    pthread_mutex_lock(&lock);
    maybe_cut();
    int result = 0;
    if (orders->syncs_fail) {
        orders->syncs_fail--;
        if (orders->is_dropped) take_back(file, 0);
        memset(file->is_dirty, 0, file->pages);
        result = refused(EIO);
    } else {
        settle(file);
    }
    pthread_mutex_unlock(&lock);
    return result;
}

int fsync(int fd) { return sync_any(fd, REAL(fsync)); }
int fdatasync(int fd) { return sync_any(fd, REAL(fdatasync)); }

/* Names */

static int may_change(int dir, const char *path) {
    char full[PATH_MAX];
    if (!below(dir, path, full)) return 1;
    pthread_mutex_lock(&lock);
    maybe_cut();
    pthread_mutex_unlock(&lock);
    return orders->write_error != EROFS || refused(EROFS) == 0;
}

int rename(const char *from, const char *to) { return may_change(AT_FDCWD, to) ? REAL(rename)(from, to) : -1; }
int unlink(const char *path) { return may_change(AT_FDCWD, path) ? REAL(unlink)(path) : -1; }
int mkdir(const char *path, mode_t mode) { return may_change(AT_FDCWD, path) ? REAL(mkdir)(path, mode) : -1; }

/* Calls that cannot be followed, for shim.c: they change files without passing the bytes, or in
 * ways that the log has no record for. */

#define PWRITEV2(name)                                                                                       \
    ssize_t name(int fd, const struct iovec *parts, int count, off_t offset, int flags) {                    \
        if (is_tracked(fd)) fatal(#name);                                                                    \
        return REAL(name)(fd, parts, count, offset, flags);                                                  \
    }
PWRITEV2(pwritev2)
PWRITEV2(pwritev64v2)

#define MMAP(name)                                                                                           \
    void *name(void *address, size_t bytes, int protection, int flags, int fd, off_t offset) {               \
        int is_shared_map = (flags & MAP_TYPE) == MAP_SHARED || (flags & MAP_TYPE) == MAP_SHARED_VALIDATE;    \
        if (is_shared_map && (protection & PROT_WRITE) && is_tracked(fd)) fatal("a written mapping");        \
        return REAL(name)(address, bytes, protection, flags, fd, offset);                                    \
    }
MMAP(mmap)
MMAP(mmap64)

#define REFUSE_FALLOCATE(name)                                              \
    int name(int fd, off_t offset, off_t bytes) {                           \
        if (is_tracked(fd)) fatal(#name);                                   \
        return REAL(name)(fd, offset, bytes);                               \
    }
REFUSE_FALLOCATE(posix_fallocate)
REFUSE_FALLOCATE(posix_fallocate64)

#define REFUSE_FALLOCATE_MODE(name)                                         \
    int name(int fd, int mode, off_t offset, off_t bytes) {                 \
        if (is_tracked(fd)) fatal(#name);                                   \
        return REAL(name)(fd, mode, offset, bytes);                         \
    }
REFUSE_FALLOCATE_MODE(fallocate)
REFUSE_FALLOCATE_MODE(fallocate64)

#define REFUSE_SENDFILE(name)                                               \
    ssize_t name(int to, int from, off_t *offset, size_t bytes) {           \
        if (is_tracked(to)) fatal(#name);                                   \
        return REAL(name)(to, from, offset, bytes);                         \
    }
REFUSE_SENDFILE(sendfile)
REFUSE_SENDFILE(sendfile64)

ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t bytes, unsigned flags) {
    if (is_tracked(to)) fatal("copy_file_range");
    return REAL(copy_file_range)(from, from_at, to, to_at, bytes, flags);
}

int link(const char *from, const char *to) {
    char full[PATH_MAX];
    if (below(AT_FDCWD, to, full)) fatal("a second name for a file");
    return REAL(link)(from, to);
}

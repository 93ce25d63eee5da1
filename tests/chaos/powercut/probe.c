/* Does to the folder that it is given everything that the shim should see. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define MUST(call) do { if ((call) < 0) { perror(#call); exit(1); } } while (0)

int main(int count, char **arguments) {
    if (count < 2) return 2;
    MUST(chdir(arguments[1]));
    if (count > 2) { /* a written mapping */
        int fd = open("mapped", O_RDWR | O_CREAT, 0600);
        MUST(ftruncate(fd, 4096));
        return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED;
    }
    int fd;
    MUST(fd = open("kept", O_RDWR | O_CREAT, 0600));
    MUST(pwrite(fd, "synced", 6, 0));
    MUST(fdatasync(fd));
    MUST(pwrite64(fd, "forgot", 6, 0));
    MUST(close(fd));

    MUST(fd = open64("forgotten", O_RDWR | O_CREAT, 0600));
    MUST(write(fd, "never synced", 12));
    MUST(close(fd));

    MUST(mkdir("sub", 0700));
    MUST(fd = openat(AT_FDCWD, "sub/all", O_RDWR | O_CREAT | O_TRUNC, 0600));
    MUST(write(fd, "0123456789", 10));
    struct iovec parts[2] = {{"ab", 2}, {"cd", 2}};
    MUST(pwritev(fd, parts, 2, 2));
    MUST(lseek(fd, 12, SEEK_SET));
    MUST(writev(fd, parts, 2));
    int second;
    MUST(second = dup(fd));
    MUST(write(second, "dup", 3));
    MUST(close(fd));
    MUST(ftruncate(second, 18));
    MUST(fsync(second));
    MUST(second = dup2(second, 77));
    MUST(pwrite(second, "X", 1, 0));
    MUST(fsync(second));
    MUST(close(second));

    MUST(fd = creat("gone", 0600));
    MUST(close(fd));
    MUST(unlink("gone"));
    MUST(fd = open("new", O_WRONLY | O_CREAT | O_APPEND, 0600));
    MUST(write(fd, "one", 3));
    MUST(write(fd, "two", 3));
    MUST(fsync(fd));
    MUST(close(fd));
    MUST(truncate("new", 5));
    MUST(rename("new", "renamed"));
    return 0;
}

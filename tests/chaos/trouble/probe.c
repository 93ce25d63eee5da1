/* Writes a file under the shim, and gives it orders itself. Given a word, it ends by a power cut. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MUST(call) do { if ((call) < 0) { perror(#call); exit(1); } } while (0)
#define MUST_FAIL(call, error) do { if ((call) >= 0 || errno != (error)) { perror(#call); exit(2); } } while (0)

enum { WRITE_ERROR, SYNCS_FAIL, IS_DROPPED, SYNC_MS, CUT };

static void order(int which, uint32_t value) {
    int fd = open(getenv("HYDROGEN_TROUBLE_ORDERS"), O_WRONLY);
    MUST(fd);
    MUST(pwrite(fd, &value, sizeof value, which * sizeof value));
    MUST(close(fd));
}

int main(int count, char **arguments) {
    if (count < 2) return 2;
    MUST(chdir(arguments[1]));
    int fd = open("file", O_RDWR | O_CREAT, 0600);
    MUST(fd);
    MUST(pwrite(fd, "synced", 6, 0));
    MUST(fsync(fd));
    order(SYNCS_FAIL, 1);
    MUST(pwrite(fd, "PASSED", 6, 0));
    MUST(pwrite(fd, "over", 4, 9000));
    MUST_FAIL(fdatasync(fd), EIO);
    /* The system says that all is well, and it is not. */
    MUST(fsync(fd));
    char bytes[6];
    MUST(pread(fd, bytes, 6, 0));
    if (memcmp(bytes, "PASSED", 6)) return 3;
    /* What is written anew is synced. */
    MUST(pwrite(fd, "anew", 4, 4096));
    MUST(fsync(fd));
    order(SYNCS_FAIL, 1);
    order(IS_DROPPED, 1);
    MUST(pwrite(fd, "taken", 5, 4096));
    MUST(pwrite(fd, "back", 4, 20000));
    MUST_FAIL(fsync(fd), EIO);
    MUST(pread(fd, bytes, 4, 4096));
    if (memcmp(bytes, "anew", 4)) return 4;
    order(WRITE_ERROR, ENOSPC);
    MUST_FAIL(pwrite(fd, "x", 1, 0), ENOSPC);
    MUST_FAIL(open("other", O_RDWR | O_CREAT, 0600), ENOSPC);
    order(WRITE_ERROR, EROFS);
    MUST_FAIL(write(fd, "x", 1), EROFS);
    MUST_FAIL(open("file", O_RDWR), EROFS);
    MUST_FAIL(unlink("file"), EROFS);
    order(WRITE_ERROR, 0);
    MUST(pwrite(fd, "lost", 4, 4096));
    if (count > 2) {
        order(CUT, 1);
        MUST(pwrite(fd, "lost", 4, 0));
        return 5;
    }
    return 0;
}

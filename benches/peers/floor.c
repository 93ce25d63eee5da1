/* The floor under every server's cost: what the kernel takes for the same reads and writes.
 *
 *   floor echo PORT     writes back each frame that it reads (idle and connect are the same)
 *   floor fanout PORT   writes each frame to all other connections, one write for each
 *   floor merged PORT   the same, but frames that came in one read go out in one write
 *
 * It is no server: it answers every upgrade with the accept key of RFC 6455's sample nonce, takes
 * frames to come whole and below 64 KiB, and drops a connection that does not keep up. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES (256 * 1024)
#define FILES (1 << 20)

static const char RESPONSE[] =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

static enum { ECHO_BACK, FANOUT, MERGED } mode;
static int poll_fd;
static uint8_t in[READ_BYTES], out[READ_BYTES];
static int open_fds[FILES], open_count; /* those that were upgraded */
static int place[FILES];                /* descriptor -> 1 + index in open_fds; 0: not upgraded */

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void drop(int fd) {
    if (place[fd] > 0) {
        int last = open_fds[--open_count];
        open_fds[place[fd] - 1] = last;
        place[last] = place[fd];
        place[fd] = 0;
    }
    close(fd);
}

/* Whether all of it was taken. A receiver that is full is shut down here and dropped when its end
 * of file is read, so that the list does not change while it is walked. */
static int put(int fd, const void *bytes, size_t len) {
    if (send(fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len)
        return 1;
    shutdown(fd, SHUT_RDWR);
    return 0;
}

static void put_to_others(int from, const uint8_t *bytes, size_t len) {
    for (int i = 0; i < open_count; i++)
        if (open_fds[i] != from)
            put(open_fds[i], bytes, len);
}

/* One masked frame into an unmasked one. Returns the bytes taken, 0 if the frame is not whole. */
static size_t turn_frame(const uint8_t *frame, size_t len, uint8_t *to, size_t *to_len) {
    size_t head = 2, body;
    if (len < 6)
        return 0;
    body = frame[1] & 0x7f;
    if (body == 126) {
        head = 4;
        body = (size_t)frame[2] << 8 | frame[3];
    }
    if (head + 4 + body > len)
        return 0;
    const uint8_t *key = frame + head, *from = key + 4;
    memcpy(to, frame, head);
    to[1] &= 0x7f;
    if ((to[0] & 0x0f) == 0x9) /* a ping becomes its pong */
        to[0] ^= 0x3;
    for (size_t i = 0; i < body; i++)
        to[head + i] = from[i] ^ key[i & 3];
    *to_len = head + body;
    return head + 4 + body;
}

static void on_frames(int fd, size_t len) {
    size_t at = 0, ready = 0, frame_len, used;
    while ((used = turn_frame(in + at, len - at, out + ready, &frame_len)) > 0) {
        at += used;
        if (mode == FANOUT && (out[ready] & 0x0f) == 0x1)
            put_to_others(fd, out + ready, frame_len);
        else
            ready += frame_len;
    }
    if (ready == 0)
        return;
    if (mode == MERGED && (out[0] & 0x0f) == 0x1)
        put_to_others(fd, out, ready);
    else
        put(fd, out, ready);
}

static void on_readable(int fd) {
    ssize_t len = recv(fd, in, sizeof in, 0);
    if (len < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (len <= 0) {
        drop(fd);
    } else if (place[fd] > 0) {
        on_frames(fd, len);
    } else if (len >= 4 && memcmp(in + len - 4, "\r\n\r\n", 4) == 0 && put(fd, RESPONSE, sizeof RESPONSE - 1)) {
        open_fds[open_count] = fd;
        place[fd] = ++open_count;
    }
}

static void on_connections(int listener) {
    int fd, yes = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        if (fd >= FILES || epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
            close(fd);
    }
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: floor echo|idle|connect|fanout|merged PORT\n");
        return 2;
    }
    mode = strcmp(argv[1], "fanout") == 0 ? FANOUT : strcmp(argv[1], "merged") == 0 ? MERGED : ECHO_BACK;

    int yes = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(atoi(argv[2])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 4096) < 0)
        fail("listen");

    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[512];
    if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, listener, &event) < 0)
        fail("epoll_ctl");
    for (;;) {
        int count = epoll_wait(poll_fd, events, 512, -1);
        if (count < 0 && errno != EINTR)
            fail("epoll_wait");
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener)
                on_connections(listener);
            else
                on_readable(events[i].data.fd);
        }
    }
}

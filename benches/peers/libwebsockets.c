/* A plain WebSocket echo with libwebsockets.
 *
 *   libwebsockets PORT      sends back each message
 *   libwebsockets version   says what it was built with
 *
 * Messages wait in a ring of their own, since the library takes one for each writable callback. */
#include <libwebsockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_MAX 4096
#define WAITING_MAX 64

struct message {
    size_t len;
    unsigned char bytes[LWS_PRE + MESSAGE_MAX];
};

/* Zeroed by the library when a connection is made. */
struct session {
    struct message *waiting;
    unsigned first, count;
};

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len) {
    struct session *session = user;
    struct message *message;

    switch (reason) {
    case LWS_CALLBACK_RECEIVE:
        if (!session->waiting && !(session->waiting = malloc(WAITING_MAX * sizeof *message)))
            return -1;
        if (len > MESSAGE_MAX || session->count == WAITING_MAX || !lws_is_final_fragment(wsi))
            return -1;
        message = &session->waiting[(session->first + session->count++) % WAITING_MAX];
        message->len = len;
        memcpy(message->bytes + LWS_PRE, in, len);
        lws_callback_on_writable(wsi);
        break;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        /* As many as the socket takes. */
        while (session->count > 0 && !lws_send_pipe_choked(wsi)) {
            message = &session->waiting[session->first];
            if (lws_write(wsi, message->bytes + LWS_PRE, message->len, LWS_WRITE_TEXT) < 0)
                return -1;
            session->first = (session->first + 1) % WAITING_MAX;
            session->count--;
        }
        if (session->count > 0)
            lws_callback_on_writable(wsi);
        break;
    case LWS_CALLBACK_CLOSED:
        free(session->waiting);
        break;
    default:
        break;
    }
    return 0;
}

static const struct lws_protocols protocols[] = {
    {"echo", on_event, sizeof(struct session), MESSAGE_MAX, 0, NULL, 0},
    {NULL, NULL, 0, 0, 0, NULL, 0},
};

int main(int argc, char **argv) {
    struct lws_context_creation_info info;
    struct lws_context *context;

    if (argc != 2) {
        fprintf(stderr, "usage: libwebsockets PORT|version\n");
        return 2;
    }
    if (strcmp(argv[1], "version") == 0) {
        printf("libwebsockets %s, its default loop, permessage-deflate off\n", lws_get_library_version());
        return 0;
    }
    lws_set_log_level(LLL_ERR, NULL);
    memset(&info, 0, sizeof info);
    info.port = atoi(argv[1]);
    info.iface = "127.0.0.1";
    info.protocols = protocols;
    info.gid = (gid_t)-1;
    info.uid = (uid_t)-1;
    if (!(context = lws_create_context(&info))) {
        fprintf(stderr, "libwebsockets: no context\n");
        return 1;
    }
    while (lws_service(context, 0) >= 0) {
    }
    lws_context_destroy(context);
    return 1;
}

// SPDX-License-Identifier: Apache-2.0
//
//   httpc_send -> curl multi -> on_socket, on_timer (what curl wants watched) -> uv ->
//   curl_multi_socket_action -> finished
#include "signaling/httpc.h"

#include "gateway/core/err.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_RESPONSE = 1 << 20, MAX_CONNECTIONS = 64 };

struct transfer {
    struct transfer *next, *prev;
    CURL *easy;
    struct curl_slist *headers;
    char *request_body; // owned, NULL for none
    char *body;         // owned, grows up to MAX_RESPONSE
    size_t body_len, body_cap;
    bool too_large;
    char error[CURL_ERROR_SIZE];
    void (*on_done)(const struct httpc_response *response, void *arg);
    void *arg;
};

struct httpc {
    uv_loop_t *loop;
    CURLM *multi;
    uv_timer_t timer;
    struct transfer *transfers;
    unsigned handles; // of libuv, still open
    bool closing;
};

// One socket curl wants watched.
struct watch {
    uv_poll_t poll;
    struct httpc *client;
    curl_socket_t socket;
};

static void on_handle_closed(struct httpc *client) {
    if (--client->handles == 0 && client->closing)
        free(client);
}

static void on_watch_closed(uv_handle_t *handle) {
    struct watch *watch = handle->data;
    struct httpc *client = watch->client;
    free(watch);
    on_handle_closed(client);
}

static void on_timer_closed(uv_handle_t *handle) {
    on_handle_closed(handle->data);
}

// ---- one transfer

static void transfer_free(struct transfer *transfer) {
    curl_easy_cleanup(transfer->easy);
    curl_slist_free_all(transfer->headers);
    free(transfer->request_body);
    free(transfer->body);
    free(transfer);
}

static int errno_of(CURLcode code, bool too_large) {
    if (too_large)
        return -EMSGSIZE;
    switch (code) {
    case CURLE_OK:
        return 0;
    case CURLE_OPERATION_TIMEDOUT:
        return -ETIMEDOUT;
    case CURLE_COULDNT_CONNECT:
        return -ECONNREFUSED;
    case CURLE_COULDNT_RESOLVE_HOST:
        return -EHOSTUNREACH;
    case CURLE_OUT_OF_MEMORY:
        return -ENOMEM;
    default:
        return -EPROTO;
    }
}

static void transfer_end(struct httpc *client, struct transfer *transfer, int err, const char *text) {
    curl_multi_remove_handle(client->multi, transfer->easy);
    if (transfer->prev)
        transfer->prev->next = transfer->next;
    else
        client->transfers = transfer->next;
    if (transfer->next)
        transfer->next->prev = transfer->prev;
    struct httpc_response response = {.err = err,
                                      .body = transfer->body ? transfer->body : "",
                                      .body_len = transfer->body_len,
                                      .text = text};
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &response.status);
    transfer->on_done(&response, transfer->arg);
    transfer_free(transfer);
}

static void transfers_collect(struct httpc *client) {
    int left;
    for (CURLMsg *msg; (msg = curl_multi_info_read(client->multi, &left));) {
        if (msg->msg != CURLMSG_DONE)
            continue;
        struct transfer *transfer = NULL;
        CURLcode code = msg->data.result;
        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
        const char *text = transfer->error[0] ? transfer->error : curl_easy_strerror(code);
        transfer_end(client, transfer, errno_of(code, transfer->too_large), text);
    }
}

static int body_grow(struct transfer *transfer, size_t need) {
    size_t cap = transfer->body_cap ? transfer->body_cap : 4096;
    while (cap < need)
        cap *= 2;
    char *body = realloc(transfer->body, cap);
    if (!body)
        return -ENOMEM;
    transfer->body = body;
    transfer->body_cap = cap;
    return 0;
}

static size_t on_body(char *data, size_t size, size_t count, void *arg) {
    struct transfer *transfer = arg;
    size_t len = size * count, need = transfer->body_len + len + 1;
    if (need > MAX_RESPONSE) {
        transfer->too_large = true;
        return 0;
    }
    if (need > transfer->body_cap && body_grow(transfer, need) != 0)
        return 0;
    memcpy(transfer->body + transfer->body_len, data, len);
    transfer->body_len += len;
    transfer->body[transfer->body_len] = '\0';
    return len;
}

// ---- curl's wishes

static void on_poll(uv_poll_t *poll, int status, int events) {
    struct watch *watch = poll->data;
    struct httpc *client = watch->client;
    int flags = (events & UV_READABLE ? CURL_CSELECT_IN : 0) | (events & UV_WRITABLE ? CURL_CSELECT_OUT : 0) |
                (status < 0 ? CURL_CSELECT_ERR : 0);
    int running;
    curl_multi_socket_action(client->multi, watch->socket, flags, &running);
    transfers_collect(client);
}

static struct watch *watch_new(struct httpc *client, curl_socket_t socket) {
    struct watch *watch = calloc(1, sizeof *watch);
    if (!watch)
        return NULL;
    if (uv_poll_init_socket(client->loop, &watch->poll, socket) != 0) {
        free(watch);
        return NULL;
    }
    watch->client = client;
    watch->socket = socket;
    watch->poll.data = watch;
    client->handles++;
    return watch;
}

static int on_socket(CURL *easy, curl_socket_t socket, int what, void *arg, void *socket_arg) {
    (void)easy;
    struct httpc *client = arg;
    struct watch *watch = socket_arg;
    if (what == CURL_POLL_REMOVE) {
        if (watch)
            uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
        curl_multi_assign(client->multi, socket, NULL);
        return 0;
    }
    if (!watch) {
        watch = watch_new(client, socket);
        if (!watch)
            return -1;
        curl_multi_assign(client->multi, socket, watch);
    }
    int events = (what != CURL_POLL_OUT ? UV_READABLE : 0) | (what != CURL_POLL_IN ? UV_WRITABLE : 0);
    return uv_poll_start(&watch->poll, events, on_poll) == 0 ? 0 : -1;
}

static void on_timeout(uv_timer_t *timer) {
    struct httpc *client = timer->data;
    int running;
    curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    transfers_collect(client);
}

static int on_timer(CURLM *multi, long timeout_ms, void *arg) {
    (void)multi;
    struct httpc *client = arg;
    if (timeout_ms < 0)
        uv_timer_stop(&client->timer);
    else if (!uv_is_closing((uv_handle_t *)&client->timer))
        uv_timer_start(&client->timer, on_timeout, (uint64_t)timeout_ms, 0);
    return 0;
}

// ---- the door

static void curl_init_once(void) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

int httpc_new(struct httpc **out, uv_loop_t *loop) {
    static uv_once_t once = UV_ONCE_INIT;
    uv_once(&once, curl_init_once);
    struct httpc *client = calloc(1, sizeof *client);
    if (!client)
        return -ENOMEM;
    client->loop = loop;
    client->multi = curl_multi_init();
    if (!client->multi) {
        free(client);
        return -ENOMEM;
    }
    uv_timer_init(loop, &client->timer);
    client->timer.data = client;
    client->handles = 1;
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, (long)MAX_CONNECTIONS);
    curl_multi_setopt(client->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)MAX_CONNECTIONS);
    *out = client;
    return 0;
}

static int transfer_copy(struct transfer *transfer, const struct httpc_request *request) {
    for (size_t i = 0; i < request->header_count; i++) {
        struct curl_slist *list = curl_slist_append(transfer->headers, request->headers[i]);
        if (!list)
            return -ENOMEM;
        transfer->headers = list;
    }
    if (!request->body)
        return 0;
    transfer->request_body = malloc(request->body_len + 1);
    if (!transfer->request_body)
        return -ENOMEM;
    memcpy(transfer->request_body, request->body, request->body_len);
    return 0;
}

static void transfer_set_up(struct transfer *transfer, const struct httpc_request *request) {
    CURL *easy = transfer->easy;
    curl_easy_setopt(easy, CURLOPT_URL, request->url);
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers);
    if (transfer->request_body) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, transfer->request_body);
    }
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    // A name server that does not answer must not hold up this thread when the transfer is over.
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "iqra-gateway/" IQ_VERSION);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
}

int httpc_send(struct httpc *client, const struct httpc_request *request,
               void (*on_done)(const struct httpc_response *response, void *arg), void *arg) {
    if (client->closing)
        return -ECANCELED;
    struct transfer *transfer = calloc(1, sizeof *transfer);
    if (!transfer)
        return -ENOMEM;
    transfer->easy = curl_easy_init();
    int err = transfer->easy ? transfer_copy(transfer, request) : -ENOMEM;
    if (err) {
        transfer_free(transfer);
        return err;
    }
    transfer_set_up(transfer, request);
    transfer->on_done = on_done;
    transfer->arg = arg;
    if (curl_multi_add_handle(client->multi, transfer->easy) != CURLM_OK) {
        transfer_free(transfer);
        return -ENOMEM;
    }
    transfer->next = client->transfers;
    if (transfer->next)
        transfer->next->prev = transfer;
    client->transfers = transfer;
    return 0;
}

void httpc_close(struct httpc *client) {
    client->closing = true;
    while (client->transfers)
        transfer_end(client, client->transfers, -ECANCELED, "the gateway stops");
    // Closes the connections kept alive, and through on_socket their watches.
    curl_multi_cleanup(client->multi);
    uv_close((uv_handle_t *)&client->timer, on_timer_closed);
}

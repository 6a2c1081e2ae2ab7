// SPDX-License-Identifier: Apache-2.0
#include "signaling/httpc.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { BODY_MAX = 1 << 20, CONNECTIONS = 64, CONNECTIONS_PER_HOST = 16, CONNECTIONS_KEPT = 4 };

struct transfer {
    struct httpc *client;
    struct transfer *next, *prev;
    CURL *easy;
    struct curl_slist *headers;
    char *body; // request
    char *in;   // response, always terminated
    size_t in_len, in_size;
    bool too_large;
    char text[CURL_ERROR_SIZE];
    void (*on_done)(const struct httpc_response *response, void *arg);
    void *arg;
};

// One socket of libcurl's, watched.
struct watch {
    uv_poll_t poll;
    struct httpc *client;
    curl_socket_t fd;
};

struct httpc {
    uv_loop_t *loop;
    CURLM *multi;
    uv_timer_t timer;
    struct transfer *transfers;
    size_t transfer_count, watches;
    bool closing, timer_closed;
};

static void free_when_quiet(struct httpc *client) {
    if (client->closing && client->timer_closed && !client->watches)
        free(client);
}

// While a burst lasts it finds its connections again; the fewer of it are left, the fewer are kept. Left to
// itself libcurl keeps four idle connections for each request there ever was at once.
static void keep_connections(struct httpc *client) {
    size_t kept = client->transfer_count > CONNECTIONS_KEPT ? client->transfer_count : CONNECTIONS_KEPT;
    curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, (long)kept);
}

static void transfer_free(struct transfer *transfer) {
    if (transfer->easy)
        curl_easy_cleanup(transfer->easy);
    curl_slist_free_all(transfer->headers);
    free(transfer->body);
    free(transfer->in);
    free(transfer);
}

static void unlink_transfer(struct transfer *transfer) {
    if (transfer->prev)
        transfer->prev->next = transfer->next;
    else
        transfer->client->transfers = transfer->next;
    if (transfer->next)
        transfer->next->prev = transfer->prev;
    curl_multi_remove_handle(transfer->client->multi, transfer->easy);
    transfer->client->transfer_count--;
    keep_connections(transfer->client);
}

static int err_of(const struct transfer *transfer, CURLcode code) {
    switch (code) {
    case CURLE_OK:
        return 0;
    case CURLE_OPERATION_TIMEDOUT:
        return -ETIMEDOUT;
    case CURLE_COULDNT_CONNECT:
        return -ECONNREFUSED;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return -EHOSTUNREACH;
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
        return -ECONNRESET;
    case CURLE_WRITE_ERROR:
        return transfer->too_large ? -EMSGSIZE : -ENOMEM;
    case CURLE_OUT_OF_MEMORY:
        return -ENOMEM;
    default:
        return -EPROTO; // TLS, and answers that are no HTTP
    }
}

// `err` is 0 for an answer. The transfer is gone afterwards; the callback may send again or close the client.
static void finish(struct transfer *transfer, int err, const char *text) {
    struct httpc_response response = {.err = err, .text = text, .body = "", .body_len = 0};
    unlink_transfer(transfer);
    if (err == 0) {
        curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &response.status);
        response.body = transfer->in ? transfer->in : "";
        response.body_len = transfer->in_len;
    }
    transfer->on_done(&response, transfer->arg);
    transfer_free(transfer);
}

static void finish_done(struct httpc *client) {
    CURLMsg *message;
    int left;
    // Nothing of `client` may be touched once a callback has closed it, except that its memory stays until
    // the loop turns.
    while (!client->closing && (message = curl_multi_info_read(client->multi, &left))) {
        struct transfer *transfer = NULL;
        CURLcode code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
        const char *text = *transfer->text ? transfer->text : curl_easy_strerror(code);
        finish(transfer, err_of(transfer, code), code == CURLE_OK ? "" : text);
    }
}

static size_t on_data(char *data, size_t size, size_t count, void *arg) {
    struct transfer *transfer = arg;
    size_t len = size * count, need = transfer->in_len + len + 1;
    if (transfer->in_len + len > BODY_MAX) {
        transfer->too_large = true;
        return 0;
    }
    if (need > transfer->in_size) {
        size_t grown_size = need * 2;
        char *grown = realloc(transfer->in, grown_size);
        if (!grown)
            return 0;
        transfer->in = grown;
        transfer->in_size = grown_size;
    }
    memcpy(transfer->in + transfer->in_len, data, len);
    transfer->in_len += len;
    transfer->in[transfer->in_len] = '\0';
    return len;
}

// ---- libcurl's sockets and timer on the loop

static void on_poll(uv_poll_t *poll, int status, int events) {
    struct watch *watch = poll->data;
    struct httpc *client = watch->client;
    // Of a connection that was reset, libcurl is to find out by itself: told of an error it fails the
    // request, while one on a connection kept from before goes again on a new one.
    int flags = status < 0 ? CURL_CSELECT_IN | CURL_CSELECT_OUT : 0;
    int running;
    if (events & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    curl_multi_socket_action(client->multi, watch->fd, flags, &running);
    finish_done(client);
}

static void on_timer(uv_timer_t *timer) {
    struct httpc *client = timer->data;
    int running;
    curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    finish_done(client);
}

static int on_timer_wanted(CURLM *multi, long timeout_ms, void *arg) {
    struct httpc *client = arg;
    (void)multi;
    // 0 must not call back at once: libcurl forbids itself to be called from here.
    if (timeout_ms < 0 || client->closing)
        uv_timer_stop(&client->timer);
    else
        uv_timer_start(&client->timer, on_timer, timeout_ms ? (uint64_t)timeout_ms : 1, 0);
    return 0;
}

static void on_watch_closed(uv_handle_t *handle) {
    struct watch *watch = handle->data;
    struct httpc *client = watch->client;
    free(watch);
    client->watches--;
    free_when_quiet(client);
}

static struct watch *watch_new(struct httpc *client, curl_socket_t fd) {
    struct watch *watch = calloc(1, sizeof *watch);
    if (!watch)
        return NULL;
    if (uv_poll_init_socket(client->loop, &watch->poll, fd) != 0) {
        free(watch);
        return NULL;
    }
    watch->poll.data = watch;
    watch->client = client;
    watch->fd = fd;
    client->watches++;
    curl_multi_assign(client->multi, fd, watch);
    return watch;
}

static int on_socket_wanted(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg) {
    struct httpc *client = arg;
    struct watch *watch = socket_arg;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (watch) {
            curl_multi_assign(client->multi, fd, NULL);
            uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
        }
        return 0;
    }
    if (!watch)
        watch = watch_new(client, fd);
    if (!watch)
        return -1;
    uv_poll_start(&watch->poll,
                  (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0),
                  on_poll);
    return 0;
}

// ---- public

static void init_once(void) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

int httpc_new(struct httpc **out, uv_loop_t *loop) {
    static uv_once_t once = UV_ONCE_INIT;
    uv_once(&once, init_once);
    struct httpc *client = calloc(1, sizeof *client);
    CURLM *multi = curl_multi_init();
    if (!client || !multi) {
        free(client);
        curl_multi_cleanup(multi);
        return -ENOMEM;
    }
    client->loop = loop;
    client->multi = multi;
    keep_connections(client);
    uv_timer_init(loop, &client->timer);
    client->timer.data = client;
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket_wanted);
    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, client);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer_wanted);
    curl_multi_setopt(multi, CURLMOPT_TIMERDATA, client);
    curl_multi_setopt(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)CONNECTIONS);
    curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)CONNECTIONS_PER_HOST);
    *out = client;
    return 0;
}

static int add_header(struct transfer *transfer, const char *line) {
    struct curl_slist *headers = strpbrk(line, "\r\n") ? NULL : curl_slist_append(transfer->headers, line);
    if (!headers)
        return -EINVAL;
    transfer->headers = headers;
    return 0;
}

static int set_body(struct transfer *transfer, const struct httpc_request *request) {
    transfer->body = malloc(request->body_len + 1);
    if (!transfer->body)
        return -ENOMEM;
    memcpy(transfer->body, request->body, request->body_len);
    curl_easy_setopt(transfer->easy, CURLOPT_POSTFIELDS, transfer->body);
    curl_easy_setopt(transfer->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len);
    // A server that does not know "100-continue" would cost a second.
    return add_header(transfer, "Expect:");
}

static int set_request(struct transfer *transfer, const struct httpc_request *request) {
    CURL *easy = transfer->easy;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < request->header_count; i++)
        rc = add_header(transfer, request->headers[i]);
    if (rc == 0 && request->body)
        rc = set_body(transfer, request);
    if (rc != 0)
        return rc;
    if (curl_easy_setopt(easy, CURLOPT_URL, request->url) != CURLE_OK)
        return -ENOMEM;
    if (request->body || strcmp(request->method, "GET") != 0)
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
    return 0;
}

static void set_rules(struct transfer *transfer) {
    CURL *easy = transfer->easy;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->text);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    // A name server that does not answer must not hold up this thread when the transfer is over.
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "iqra-gateway/" IQ_VERSION);
}

static bool url_ok(const char *url) {
    return strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0;
}

int httpc_send(struct httpc *client, const struct httpc_request *request,
               void (*on_done)(const struct httpc_response *response, void *arg), void *arg) {
    if (client->closing)
        return -ECANCELED;
    if (!url_ok(request->url))
        return -EINVAL;
    struct transfer *transfer = calloc(1, sizeof *transfer);
    if (!transfer)
        return -ENOMEM;
    transfer->client = client;
    transfer->on_done = on_done;
    transfer->arg = arg;
    transfer->easy = curl_easy_init();
    int rc = transfer->easy ? set_request(transfer, request) : -ENOMEM;
    if (rc == 0) {
        set_rules(transfer);
        rc = curl_multi_add_handle(client->multi, transfer->easy) == CURLM_OK ? 0 : -ENOMEM;
    }
    if (rc != 0) {
        transfer_free(transfer);
        return rc;
    }
    transfer->next = client->transfers;
    if (transfer->next)
        transfer->next->prev = transfer;
    client->transfers = transfer;
    client->transfer_count++;
    keep_connections(client);
    return 0;
}

// The multi handle must not be freed from inside its own socket or timer callback, which is where on_done may
// have called from; the timer's close callback is outside of both.
static void on_timer_closed(uv_handle_t *handle) {
    struct httpc *client = handle->data;
    curl_multi_cleanup(client->multi); // closes idle connections, and so their watches
    client->timer_closed = true;
    free_when_quiet(client);
}

void httpc_close(struct httpc *client) {
    if (client->closing)
        return;
    client->closing = true;
    struct transfer *next;
    for (struct transfer *transfer = client->transfers; transfer; transfer = next) {
        next = transfer->next; // a callback cannot add one any more
        finish(transfer, -ECANCELED, "cancelled");
    }
    uv_close((uv_handle_t *)&client->timer, on_timer_closed);
}

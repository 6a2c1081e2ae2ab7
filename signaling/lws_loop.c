// SPDX-License-Identifier: Apache-2.0
#include "signaling/lws_loop.h"

#include "gateway/core/log.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    HEADER_BYTES = 16384,   // of one request, names and values together
    SERVICE_BUFFER = 16384, // one read
    WS_READ = 512,          // kept per WebSocket, of which a call has one; longer messages come in parts
    WRITE_AT_ONCE = 65536,
    HANDSHAKE_SECONDS = 10, // TLS, request head, and each piece of a body
    KEEP_ALIVE_SECONDS = 60,
    STREAM_SECONDS = 24 * 3600, // longest life of one HTTP exchange; server-sent events are one
    FAST_TABLE_MAX = 262144,
    RESERVED_FDS = 64,
};

struct lws_loop {
    struct lws_context *context;
    struct lws_vhost *vhost;
    struct lws_protocols protocols[2];
    lws_retry_bo_t retry;
    uv_timer_t timer; // of the close
    int wake_fd;      // of the context, that it is woken by; -1 when it was not found
    bool destroying;
    void (*on_closed)(void *arg);
    void *arg;
};

static void on_log(int level, const char *line) {
    size_t len = strlen(line);
    while (len && line[len - 1] == '\n')
        len--;
    // The library calls it a warning or an error when a client sends nonsense, so it stays below what
    // operators see.
    log_debug(NULL, "lws", "%s%.*s", level == LLL_ERR ? "error: " : "", (int)len, line);
}

// The library keeps a table indexed by descriptor, as large as the process limit. Where that limit is in the
// millions (containers), a table searched by value is the better price.
static unsigned fd_limit(size_t max_connections) {
    long limit = sysconf(_SC_OPEN_MAX);
    return limit > 0 && limit <= FAST_TABLE_MAX ? 0 : (unsigned)max_connections + RESERVED_FDS;
}

static struct lws_context *make_context(const struct lws_loop_config *config) {
    void *loops[] = {config->loop};
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
                   LWS_SERVER_OPTION_VALIDATE_UTF8 | LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS,
        .foreign_loops = loops,
        .user = config->user,
        .gid = -1,
        .uid = -1,
        .fd_limit_per_thread = fd_limit(config->max_connections),
        .pt_serv_buf_size = SERVICE_BUFFER,
        .max_http_header_data2 = HEADER_BYTES,
        .timeout_secs = HANDSHAKE_SECONDS,
    };
    if (config->tls_certificate && *config->tls_certificate)
        info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
    lws_set_log_level(LLL_ERR | LLL_WARN, on_log);
    return lws_create_context(&info);
}

struct polls {
    unsigned count;
    int newest_fd;
};

static void look_at_poll(uv_handle_t *handle, void *arg) {
    struct polls *polls = arg;
    uv_os_fd_t fd;
    if (handle->type != UV_POLL || uv_fileno(handle, &fd) != 0)
        return;
    polls->count++;
    polls->newest_fd = fd;
}

// A context begins by watching the descriptor that wakes it, and nothing else.
static int make_context_and_wake(struct lws_loop *loop, const struct lws_loop_config *config) {
    struct polls before = {0}, after = {0};
    uv_walk(config->loop, look_at_poll, &before);
    loop->context = make_context(config);
    if (!loop->context)
        return -EIO;
    uv_walk(config->loop, look_at_poll, &after);
    loop->wake_fd = after.count == before.count + 1 ? after.newest_fd : -1;
    return 0;
}

static struct lws_vhost *make_vhost(struct lws_loop *loop, const struct lws_loop_config *config) {
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .protocols = loop->protocols,
        .vhost_name = "gateway",
        .keepalive_timeout = KEEP_ALIVE_SECONDS,
        .timeout_secs_ah_idle = STREAM_SECONDS,
        .retry_and_idle_policy = &loop->retry,
        .alpn = "http/1.1", // the library shows no unknown headers over HTTP/2
    };
    if (config->tls_certificate && *config->tls_certificate) {
        info.options |=
            LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT; // without it the vhost quietly speaks plain HTTP
        info.ssl_cert_filepath = config->tls_certificate;
        info.ssl_private_key_filepath = config->tls_key;
        info.ssl_options_set = SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1;
    }
    return lws_create_vhost(loop->context, &info);
}

// The library takes a file that is missing for one that will come later, and does not say what is wrong with
// one it cannot use. So all is tried before.
static int check_tls(const char *certificate, const char *key, struct err_text *err) {
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    int rc = 0;
    if (!ctx)
        return err_set(err, -ENOMEM, "out of memory");
    if (SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1)
        rc = err_set(err, -EINVAL, "Gateway.TlsCertificate %s: %s", certificate,
                     ERR_reason_error_string(ERR_peek_error()));
    else if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1 ||
             SSL_CTX_check_private_key(ctx) != 1)
        rc = err_set(err, -EINVAL, "Gateway.TlsKey %s: %s", key, ERR_reason_error_string(ERR_peek_error()));
    ERR_clear_error();
    SSL_CTX_free(ctx);
    return rc;
}

int lws_loop_new(struct lws_loop **out, const struct lws_loop_config *config, struct err_text *err) {
    if (config->tls_certificate && *config->tls_certificate) {
        int rc = check_tls(config->tls_certificate, config->tls_key ? config->tls_key : "", err);
        if (rc != 0)
            return rc;
    }
    struct lws_loop *loop = calloc(1, sizeof *loop);
    if (!loop)
        return err_set(err, -ENOMEM, "out of memory");
    loop->protocols[0] = (struct lws_protocols){.name = "http",
                                                .callback = config->callback,
                                                .rx_buffer_size = WS_READ,
                                                .tx_packet_size = WRITE_AT_ONCE};
    loop->retry.secs_since_valid_ping = (uint16_t)config->ws_ping_s;
    loop->retry.secs_since_valid_hangup = (uint16_t)(2 * config->ws_ping_s);
    if (make_context_and_wake(loop, config) != 0) {
        free(loop);
        return err_set(err, -EIO,
                       "libwebsockets does not start: is the package libwebsockets-evlib-uv installed?");
    }
    uv_timer_init(config->loop, &loop->timer);
    loop->timer.data = loop;
    loop->vhost = make_vhost(loop, config);
    if (!loop->vhost) {
        lws_loop_close(loop, NULL, NULL);
        return err_set(
            err, -EINVAL,
            "Gateway.TlsCertificate %s, Gateway.TlsKey %s: cannot be used; name a PEM chain and its key",
            config->tls_certificate, config->tls_key);
    }
    *out = loop;
    return 0;
}

void lws_loop_adopt(struct lws_loop *loop, int fd, void *conn) {
    lws_adopt_desc_t info = {
        .vh = loop->vhost,
        .type = LWS_ADOPT_SOCKET | LWS_ADOPT_HTTP | LWS_ADOPT_ALLOW_SSL,
        .fd = {.sockfd = fd},
        .opaque = conn,
    };
    lws_adopt_descriptor_vhost_via_info(&info);
}

// The library looks at its timers after it has served a socket; a connection that can neither read nor write
// gives it no reason to, hence the wake-up.
void lws_loop_kill(struct lws *wsi, int seconds) {
    lws_set_timeout(wsi, PENDING_TIMEOUT_CLOSE_SEND, seconds > 0 ? seconds : LWS_TO_KILL_ASYNC);
    lws_cancel_service(lws_get_context(wsi));
}

static void on_timer_closed(uv_handle_t *handle) {
    struct lws_loop *loop = handle->data;
    if (loop->on_closed)
        loop->on_closed(loop->arg);
    free(loop);
}

struct search {
    const struct lws_context *context;
    bool found;
};

static void look_for(uv_handle_t *handle, void *arg) {
    struct search *search = arg;
    if (handle->data == search->context)
        search->found = true;
}

// The library closes the descriptor that wakes it twice, once in each of its two destructions. Until the second one
// nobody else may get that number, or he loses it.
static void keep_number(int fd) {
    if (fd < 0)
        return;
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null < 0 || null == fd)
        return;
    int kept = fcntl(null, F_DUPFD_CLOEXEC, fd);
    close(null);
    if (kept >= 0 && kept != fd)
        close(kept); // another thread was faster
}

// On a foreign loop the library wants to be destroyed twice: the first call closes every connection; when
// their handles are gone it closes its own (whose data is the context); only after those are gone too may the
// second call free the context. It tells nobody when that is, hence the look at the loop's handles.
static void on_close_timer(uv_timer_t *timer) {
    struct lws_loop *loop = timer->data;
    struct search search = {.context = loop->context};
    if (!loop->destroying) {
        loop->destroying = true;
        lws_context_destroy(loop->context);
        keep_number(loop->wake_fd);
        return;
    }
    uv_walk(timer->loop, look_for, &search);
    if (search.found)
        return;
    lws_context_destroy(loop->context);
    uv_close((uv_handle_t *)timer, on_timer_closed);
}

// By a timer, since the library must not be destroyed from inside one of its callbacks.
void lws_loop_close(struct lws_loop *loop, void (*on_closed)(void *arg), void *arg) {
    loop->on_closed = on_closed;
    loop->arg = arg;
    uv_timer_start(&loop->timer, on_close_timer, 0, 1);
}

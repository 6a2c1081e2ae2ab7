// SPDX-License-Identifier: Apache-2.0
#include "signaling/http_conn.h"

#include "signaling/cors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct {
    enum lws_token_indexes token;
    const char *name;
    bool body; // the library waits for a body unless there is a Content-Length
} methods[] = {
    {WSI_TOKEN_GET_URI, "GET", false},         {WSI_TOKEN_POST_URI, "POST", true},
    {WSI_TOKEN_OPTIONS_URI, "OPTIONS", false}, {WSI_TOKEN_PUT_URI, "PUT", true},
    {WSI_TOKEN_PATCH_URI, "PATCH", true},      {WSI_TOKEN_DELETE_URI, "DELETE", false},
    {WSI_TOKEN_HEAD_URI, "HEAD", false},
};
enum { METHOD_COUNT = sizeof methods / sizeof *methods };

bool http_conn_header(struct lws *wsi, const char *name, char *out, size_t out_size) {
    *out = '\0';
    for (int token = 0; token < WSI_TOKEN_COUNT; token++) {
        const unsigned char *known = lws_token_to_string((enum lws_token_indexes)token);
        if (known && strcasecmp((const char *)known, name) == 0)
            return lws_hdr_total_length(wsi, (enum lws_token_indexes)token) > 0 &&
                   lws_hdr_copy(wsi, out, (int)out_size, (enum lws_token_indexes)token) > 0;
    }
    int len = (int)strlen(name);
    return lws_hdr_custom_length(wsi, name, len) > 0 &&
           lws_hdr_custom_copy(wsi, out, (int)out_size, name, len) > 0;
}

// "" when the header is absent; NULL without memory.
static char *copy_token(struct lws *wsi, enum lws_token_indexes token) {
    int len = lws_hdr_total_length(wsi, token);
    char *text = calloc(1, (size_t)len + 1);
    if (text && len > 0 && lws_hdr_copy(wsi, text, len + 1, token) < 0)
        *text = '\0';
    return text;
}

// The library splits the query at '&' and would join it with commas.
static char *copy_query(struct lws *wsi) {
    int room = lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_URI_ARGS) + 2;
    char *text = calloc(1, (size_t)room);
    int len = 0;
    for (int i = 0; text; i++) {
        int n = lws_hdr_copy_fragment(wsi, text + len, room - len, WSI_TOKEN_HTTP_URI_ARGS, i);
        if (n < 0 || len + n + 1 >= room)
            break;
        len += n;
        text[len++] = '&';
    }
    if (text)
        text[len > 0 ? len - 1 : 0] = '\0';
    return text;
}

static int read_method(struct http_exchange *exchange, struct lws *wsi, bool *waits) {
    for (int i = 0; i < METHOD_COUNT; i++) {
        if (lws_hdr_total_length(wsi, methods[i].token) <= 0)
            continue;
        exchange->request.method = methods[i].name;
        exchange->head = methods[i].token == WSI_TOKEN_HEAD_URI;
        *waits = methods[i].body;
        return 0;
    }
    return -EPROTO;
}

// Exactly one decimal number: the library itself takes whatever atoll makes of it.
static int read_length(struct http_exchange *exchange, struct lws *wsi) {
    char text[24];
    if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH) <= 0)
        return 0;
    exchange->has_body = true;
    int len = lws_hdr_copy(wsi, text, sizeof text, WSI_TOKEN_HTTP_CONTENT_LENGTH);
    if (len <= 0 || len > 18 || strspn(text, "0123456789") != (size_t)len)
        return -EPROTO;
    exchange->content_length = strtoull(text, NULL, 10);
    return 0;
}

static void read_connection(struct http_exchange *exchange, struct lws *wsi) {
    char version[16] = "", connection[64] = "";
    lws_hdr_copy(wsi, version, sizeof version, WSI_TOKEN_HTTP);
    lws_hdr_copy(wsi, connection, sizeof connection, WSI_TOKEN_CONNECTION);
    exchange->http_1_0 = strcmp(version, "HTTP/1.1") != 0;
    exchange->close_after =
        exchange->http_1_0 ? strcasecmp(connection, "keep-alive") != 0 : strcasecmp(connection, "close") == 0;
}

static int read_client(struct http_exchange *exchange, struct http_conn *conn) {
    char proto[32] = "";
    // Whole, whatever its length: cut or left out, it would make a stranger look like the proxy itself.
    char *chain = copy_token(conn->wsi, WSI_TOKEN_X_FORWARDED_FOR);
    if (!chain)
        return -ENOMEM;
    forwarded_client(conn->server->forwarded, conn->peer, chain, exchange->client_address,
                     sizeof exchange->client_address);
    free(chain);
    exchange->request.client_address = exchange->client_address;
    exchange->request.secure = lws_is_ssl(conn->wsi);
    if (forwarded_trusted(conn->server->forwarded, conn->peer) &&
        http_conn_header(conn->wsi, "x-forwarded-proto:", proto, sizeof proto)) {
        const char *last = strrchr(proto, ',');
        last = last ? last + 1 : proto;
        exchange->request.secure = strcasecmp(last + strspn(last, " "), "https") == 0;
    }
    return 0;
}

// For an allowed origin only. A preflight may ask for any header; http_reply_format_options adds the methods.
static char *read_cors(const struct http_exchange *exchange, const struct http_config *config,
                       struct lws *wsi) {
    static const char credentials[] = "Access-Control-Allow-Credentials: true\r\n";
    char *text = NULL, wanted[64];
    if (!cors_allowed(config->allowed_origins, config->allowed_origin_count, exchange->origin))
        return strdup("");
    bool preflight = strcmp(exchange->request.method, "OPTIONS") == 0 &&
                     http_conn_header(wsi, "access-control-request-method:", wanted, sizeof wanted);
    // A page may read Retry-After only when it is told so.
    if (!preflight)
        return asprintf(&text,
                        "Access-Control-Allow-Origin: %s\r\n%sAccess-Control-Expose-Headers: Retry-After\r\n",
                        exchange->origin, credentials) < 0
                   ? NULL
                   : text;
    char headers[4096] = "";
    bool asks = http_conn_header(wsi, "access-control-request-headers:", headers, sizeof headers);
    if (strpbrk(headers, "\r\n"))
        return strdup("");
    int len = asprintf(&text, "Access-Control-Allow-Origin: %s\r\n%s%s%s%sAccess-Control-Max-Age: 600\r\n",
                       exchange->origin, credentials, asks ? "Access-Control-Allow-Headers: " : "", headers,
                       asks ? "\r\n" : "");
    return len < 0 ? NULL : text;
}

static int read_strings(struct http_exchange *exchange, struct http_conn *conn, const char *path,
                        size_t path_len) {
    exchange->path = strndup(path, path_len);
    exchange->query = copy_query(conn->wsi);
    exchange->host = copy_token(conn->wsi, WSI_TOKEN_HOST);
    exchange->origin = copy_token(conn->wsi, WSI_TOKEN_ORIGIN);
    if (!exchange->path || !exchange->query || !exchange->host || !exchange->origin)
        return -ENOMEM;
    exchange->cors = read_cors(exchange, &conn->server->config, conn->wsi);
    return exchange->cors ? 0 : -ENOMEM;
}

// The library (4.1) takes a header whose name is the beginning of a known one ("Ac: x") together with the
// line after it for one header. A proxy sees two. If the second was the length of a body, its bytes would be
// read as one more request, by whoever wrote them. So what comes through a proxy and should have no body is
// the last on its connection; the methods that have one are closed without a length anyway.
static bool through_proxy(const struct http_conn *conn) {
    return forwarded_trusted(conn->server->forwarded, conn->peer) ||
           lws_hdr_total_length(conn->wsi, WSI_TOKEN_X_FORWARDED_FOR) > 0 ||
           lws_hdr_total_length(conn->wsi, WSI_TOKEN_HTTP_VIA) > 0;
}

static unsigned judge(struct http_exchange *exchange, struct http_conn *conn, bool waits,
                      const char **message) {
    exchange->close_after = exchange->close_after || waits || through_proxy(conn);
    if (lws_hdr_total_length(conn->wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0) {
        exchange->close_after = true;
        *message = "A request body needs a Content-Length; Transfer-Encoding is not understood.";
        return 501;
    }
    if (read_length(exchange, conn->wsi) != 0) {
        exchange->close_after = true;
        *message = "Content-Length is not a number.";
        return 400;
    }
    if (exchange->has_body && waits)
        read_connection(exchange, conn->wsi); // the library knows the length, so the connection may live on
    if (!exchange->http_1_0 && !*exchange->host) {
        exchange->close_after = true;
        *message = "Host is missing.";
        return 400;
    }
    if (exchange->content_length > conn->server->config.max_body) {
        *message = "The request body is too large.";
        return 413;
    }
    return 0;
}

int http_exchange_read(struct http_exchange **out, struct http_conn *conn, const char *path, size_t path_len,
                       unsigned *refusal, const char **message) {
    struct http_exchange *exchange = calloc(1, sizeof *exchange);
    bool waits = false;
    int rc = exchange ? 0 : -ENOMEM;
    if (rc == 0)
        rc = read_method(exchange, conn->wsi, &waits);
    if (rc == 0)
        rc = read_strings(exchange, conn, path, path_len);
    if (rc == 0)
        rc = read_client(exchange, conn);
    if (rc != 0) {
        if (exchange)
            http_exchange_free(exchange);
        return rc;
    }
    exchange->conn = conn;
    exchange->request.exchange = exchange;
    exchange->request.path = exchange->path;
    exchange->request.query = exchange->query;
    exchange->request.host = exchange->host;
    exchange->request.origin = exchange->origin;
    read_connection(exchange, conn->wsi);
    *refusal = judge(exchange, conn, waits, message);
    *out = exchange;
    return 0;
}

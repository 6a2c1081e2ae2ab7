// SPDX-License-Identifier: Apache-2.0
// HTTP client of the ctl thread: libcurl's multi interface on the ctl loop.
#ifndef IQ_SIGNALING_HTTPC_H
#define IQ_SIGNALING_HTTPC_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct httpc;

struct httpc_request {
    const char *method;         // "GET", "POST"
    const char *url;            // never logged with its query
    const char *const *headers; // "Name: value"
    size_t header_count;
    const char *body; // NULL for none; copied
    size_t body_len;
    uint32_t timeout_ms;
};

struct httpc_response {
    int err;     // 0, or negative errno: -ETIMEDOUT, -ECONNREFUSED, -EHOSTUNREACH, -EPROTO (TLS), -EMSGSIZE,
                 // -ECANCELED
    long status; // HTTP status when err is 0
    const char *body; // terminated
    size_t body_len;  // at most 1 MiB
    const char *text; // what went wrong, for the log
};

int httpc_new(struct httpc **out, uv_loop_t *loop);
// `on_done` once, from the loop, also when httpc_close cancels it. Redirects are not followed. Headers and
// body are copied.
int httpc_send(struct httpc *client, const struct httpc_request *request,
               void (*on_done)(const struct httpc_response *response, void *arg), void *arg);
void httpc_close(struct httpc *client); // frees itself when the loop has closed its handles

#endif

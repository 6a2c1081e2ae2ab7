// SPDX-License-Identifier: Apache-2.0
#include "gateway/pages.h"

// The demo page may run only what comes with it: its own script and styles, and sockets.
static const struct http_header_field page_headers[] = {
    {"Content-Security-Policy",
     "default-src 'self'; script-src 'self' 'unsafe-inline' blob:; style-src 'self' 'unsafe-inline'; "
     "connect-src *; media-src 'self' blob:; img-src 'self' data:; worker-src 'self' blob:"},
    {"Cache-Control", "no-cache"},
};

// Any page may load the widget, and read what the doors are; the session request it makes is what AllowedOrigins guards.
static const struct http_header_field script_headers[] = {
    {"Cross-Origin-Resource-Policy", "cross-origin"},
    {"Cache-Control", "no-cache"},
};

static void on_index(const struct http_request *request, void *arg) {
    (void)arg;
    http_reply(request->exchange, 200, "text/html; charset=utf-8", page_index_html, page_index_html_len,
               page_headers, sizeof page_headers / sizeof page_headers[0]);
}

static void on_widget(const struct http_request *request, void *arg) {
    (void)arg;
    http_reply(request->exchange, 200, "text/javascript; charset=utf-8", page_widget_js, page_widget_js_len,
               script_headers, sizeof script_headers / sizeof script_headers[0]);
}

static void on_favicon(const struct http_request *request, void *arg) {
    (void)arg;
    http_reply(request->exchange, 204, "image/x-icon", "", 0, NULL, 0);
}

static void on_openapi(const struct http_request *request, void *arg) {
    (void)arg;
    http_reply(request->exchange, 200, "application/json", page_openapi_json, page_openapi_json_len,
               script_headers, sizeof script_headers / sizeof script_headers[0]);
}

void pages_routes(struct http_route out[PAGES_ROUTES]) {
    out[0] = (struct http_route){.method = "GET", .path = "/", .on_request = on_index};
    out[1] = (struct http_route){.method = "GET", .path = "/widget.js", .on_request = on_widget};
    out[2] = (struct http_route){.method = "GET", .path = "/favicon.ico", .on_request = on_favicon};
    out[3] = (struct http_route){.method = "GET", .path = "/api/openapi.json", .on_request = on_openapi};
}

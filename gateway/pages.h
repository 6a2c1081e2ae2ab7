// SPDX-License-Identifier: Apache-2.0
// The demo page, the widget and the description of the HTTP doors (docs/openapi.json), compiled into the program by
// deploy/embed.cmake.
#ifndef IQ_GATEWAY_PAGES_H
#define IQ_GATEWAY_PAGES_H

#include "signaling/http.h"

enum { PAGES_ROUTES = 4 };
// "/", "/widget.js", "/favicon.ico", "/api/openapi.json"
void pages_routes(struct http_route out[PAGES_ROUTES]);

// Generated.
extern const unsigned char page_index_html[], page_widget_js[], page_openapi_json[];
extern const unsigned long page_index_html_len, page_widget_js_len, page_openapi_json_len;

#endif

// SPDX-License-Identifier: Apache-2.0
// The demo page and the widget, compiled into the program from web/ by deploy/embed.cmake.
#ifndef IQ_GATEWAY_PAGES_H
#define IQ_GATEWAY_PAGES_H

#include "signaling/http.h"

enum { PAGES_ROUTES = 3 };
void pages_routes(struct http_route out[PAGES_ROUTES]); // "/", "/widget.js", "/favicon.ico"

// Generated.
extern const unsigned char page_index_html[], page_widget_js[];
extern const unsigned long page_index_html_len, page_widget_js_len;

#endif

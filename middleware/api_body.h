// SPDX-License-Identifier: Apache-2.0
// The bodies of the two session requests, read and checked. Pure. Property names count in any case, numbers
// may be written as strings, unknown properties are ignored: what the existing clients rely on. A property
// that is there twice, in whatever case, or JSON deeper than any client's, is refused (json_limit.h).
#ifndef IQ_MIDDLEWARE_API_BODY_H
#define IQ_MIDDLEWARE_API_BODY_H

#include "gateway/core/span.h"
#include "middleware/platform.h"

enum { API_CLIENT_ID_MAX = 256, API_PROBLEMS_MAX = 8 };

enum api_shape {
    API_SHAPE_REQUEST,  // POST /api/session/request
    API_SHAPE_INITIATE, // POST /api/websession/initiate
};

struct api_body {
    char *campaign_id, *region_id, *business_id, *client_identifier; // owned; NULL when absent or empty
    int transport;                                                   // API_TRANSPORT_*
    json_t *dynamic_variables, *metadata;                            // owned; objects of strings
    struct platform_format input, output; // of the client's audio; encoding 0 when it named none
};

// What is wrong with a body, for the `errors` of the answer (RFC 7807).
struct api_problems {
    size_t count;
    struct {
        char field[48]; // property, "$" for the body itself
        char text[160];
    } items[API_PROBLEMS_MAX]; // more are counted and not kept
};

// -EINVAL with at least one problem, or -ENOMEM. On failure nothing is left to clear.
int api_body_parse(struct api_body *out, enum api_shape shape, struct span text,
                   struct api_problems *problems);
void api_body_clear(struct api_body *body);

// The identifier sent to the platform: `address` or `identifier`_`address`. -EINVAL when it holds / or \ or a
// control character, -EMSGSIZE beyond 256 characters (UTF-16 units, as the platform counts).
int api_client_identifier(const char *identifier, const char *address, char *out, size_t out_size);
// The same as a path segment: every character that is not plain in a URL path becomes '_'.
void api_path_identifier(const char *identifier, char out[API_CLIENT_ID_MAX + 1]);

#endif

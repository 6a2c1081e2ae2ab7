// SPDX-License-Identifier: Apache-2.0
// Input: one byte that chooses the shape, then the body; it is read as the platform's answer too.
#include "middleware/api_body.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Nothing is sent here: the parsers stand in the same files as what sends.
int httpc_send(struct httpc *client, const struct httpc_request *request,
               void (*on_done)(const struct httpc_response *response, void *arg), void *arg) {
    (void)client;
    (void)request;
    (void)on_done;
    (void)arg;
    return -ENOSYS;
}

static void use(const struct api_body *body) {
    char identifier[API_CLIENT_ID_MAX * 3 + 1], segment[API_CLIENT_ID_MAX + 1];
    if (api_client_identifier(body->client_identifier, "192.0.2.1", identifier, sizeof identifier) != 0)
        return;
    api_path_identifier(identifier, segment);
    if (strpbrk(segment, "/\\?#% \"") || !*segment)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!size)
        return 0;
    struct api_body body;
    struct api_problems problems;
    enum api_shape shape = data[0] & 1 ? API_SHAPE_INITIATE : API_SHAPE_REQUEST;
    int err = api_body_parse(&body, shape, span_of(data + 1, size - 1), &problems);
    if ((err == 0) != (problems.count == 0))
        abort();
    if (!err) {
        use(&body);
        api_body_clear(&body);
    }
    struct platform_session session;
    struct err_text why;
    if (platform_parse((const char *)data + 1, size - 1, &session, &why) == 0 &&
        strncasecmp(session.url, "ws", 2) != 0)
        abort();
    return 0;
}

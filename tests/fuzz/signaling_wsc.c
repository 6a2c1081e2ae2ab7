// SPDX-License-Identifier: Apache-2.0
// First byte: which parser. 'u' URL, 'h' HTTP answer, 'c' close payload, any other: frames, cut into pieces
// of that size.
#include "signaling/wsc_frame.h"
#include "signaling/wsc_upgrade.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_frames(const uint8_t *data, size_t size, size_t step) {
    struct wsc_frames frames = {0};
    struct wsc_piece piece;
    uint64_t message_len = 0;
    while (size) {
        size_t n = size < step ? size : step;
        const uint8_t *at = data;
        data += n;
        size -= n;
        int got;
        while ((got = wsc_frames_next(&frames, &at, &n, &piece)) > 0) {
            message_len = piece.type == WSC_PIECE_DATA ? message_len + piece.len : message_len;
            if (message_len > WSC_MESSAGE_MAX ||
                (piece.type != WSC_PIECE_DATA && piece.len > WSC_CONTROL_MAX))
                abort();
            message_len = piece.type == WSC_PIECE_DATA && piece.end ? 0 : message_len;
        }
        if (got < 0 && (!frames.error || (got != -WSC_CLOSE_PROTOCOL && got != -WSC_CLOSE_TOO_BIG)))
            abort();
        if (got < 0)
            return;
    }
}

static void fuzz_url(const uint8_t *data, size_t size) {
    struct wsc_url url;
    char text[WSC_REQUEST_MAX];
    char *copy = malloc(size + 1);
    if (!copy)
        return;
    memcpy(copy, data, size);
    copy[size] = '\0';
    if (wsc_url_parse(copy, &url) == 0) {
        int len = wsc_upgrade_request(text, sizeof text, &url, "KEY", NULL, 0);
        if (len < 0 || !strstr(text, "\r\n\r\n"))
            abort();
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct wsc_upgrade answer;
    char reason[WSC_CONTROL_MAX];
    if (size < 1)
        return 0;
    const uint8_t *rest = data + 1;
    size--;
    switch (data[0]) {
    case 'u':
        fuzz_url(rest, size);
        break;
    case 'h':
        if (wsc_upgrade_response((const char *)rest, size, "ACC", size & 1, &answer) > (int)size)
            abort();
        break;
    case 'c':
        if (size <= WSC_CONTROL_MAX)
            wsc_close_parse(rest, size, reason);
        break;
    default:
        fuzz_frames(rest, size, data[0] ? data[0] : 1);
    }
    return 0;
}

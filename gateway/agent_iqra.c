// SPDX-License-Identifier: Apache-2.0
//
// Dialect "iqra": a binary message is audio in the agreed encoding and nothing else, of any length; a text
// message is chat, but for two that carry digits: {"type":"dtmf","digit":"5"} to the agent and
// {"type":"send_dtmf","digits":"12#"} from it. No greeting, no marks, no ping of its own.
#include "gateway/agent_ops.h"
#include "gateway/core/err.h"
#include "gateway/core/json_depth.h"
#include "gateway/core/log.h"
#include "gateway/core/utf8.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TEXT_MAX = 64 * 1024,
    CLOSE_BAD_TEXT = 1007,
    COMMAND_MAX = 512, // a command is short and flat
    COMMAND_DEPTH = 2,
};

struct iqra {
    struct agent *agent;
    char *text; // owns; of the message that is coming, TEXT_MAX bytes; NULL between texts, which are rare
    size_t text_len;
    bool text_over; // the message that is coming is too long
};

static int iqra_open(struct agent *agent, void **state) {
    struct iqra *iqra = calloc(1, sizeof *iqra);
    if (!iqra)
        return -ENOMEM;
    iqra->agent = agent;
    *state = iqra;
    return 0;
}

static void iqra_free(void *state) {
    struct iqra *iqra = state;
    if (iqra)
        free(iqra->text);
    free(iqra);
}

static void gather_text(struct iqra *iqra, const uint8_t *data, size_t len) {
    if (!iqra->text)
        iqra->text = calloc(1, TEXT_MAX);
    if (!iqra->text || len > TEXT_MAX - iqra->text_len)
        iqra->text_over = true;
    if (iqra->text_over || !len)
        return;
    memcpy(iqra->text + iqra->text_len, data, len);
    iqra->text_len += len;
}

static bool digits_ok(const char *digits) {
    size_t len = strlen(digits);
    return len && len <= AGENT_DTMF_MAX && strspn(digits, "0123456789*#ABCDabcd,") == len;
}

// Whether the text is a command, which is then carried out.
static bool take_command(struct iqra *iqra, const char *text, size_t len) {
    if (len > COMMAND_MAX || !len || text[0] != '{' || !json_depth_ok(text, len, COMMAND_DEPTH))
        return false;
    json_t *root = json_loadb(text, len, 0, NULL);
    const char *type = json_string_value(json_object_get(root, "type"));
    const char *digits = json_string_value(json_object_get(root, "digits"));
    bool taken = type && strcmp(type, "send_dtmf") == 0;
    if (taken && digits && digits_ok(digits))
        taken = agent_give_dtmf(iqra->agent, digits);
    else if (taken)
        log_warn(agent_call_id(iqra->agent), "agent",
                 "send_dtmf without good digits was dropped: 1 to %d of 0-9 * # A-D and the comma",
                 AGENT_DTMF_MAX);
    json_decref(root);
    return taken;
}

static void text_done(struct iqra *iqra) {
    char *text = iqra->text;
    size_t len = iqra->text_len;
    bool over = iqra->text_over;
    iqra->text = NULL;
    iqra->text_len = 0;
    iqra->text_over = false;
    if (over)
        log_warn(agent_call_id(iqra->agent), "agent", "a text message beyond 64 KiB was dropped");
    else if (!utf8_valid(text, len))
        agent_fail(iqra->agent, CLOSE_BAD_TEXT, "a text message is not UTF-8");
    else if (!take_command(iqra, text, len))
        agent_give_text(iqra->agent, text, len);
    free(text);
}

static void iqra_on_data(void *state, enum wsc_kind kind, const uint8_t *data, size_t len, bool end) {
    struct iqra *iqra = state;
    if (kind == WSC_BINARY) {
        agent_give_audio(iqra->agent, data, len, end);
        return;
    }
    gather_text(iqra, data, len);
    if (end)
        text_done(iqra);
}

static int iqra_send_audio(void *state, const uint8_t *frame, size_t len) {
    return agent_write(((struct iqra *)state)->agent, WSC_BINARY, frame, len);
}

static int iqra_send_text(void *state, const char *text, size_t len) {
    if (len > TEXT_MAX)
        return -EMSGSIZE;
    return agent_write(((struct iqra *)state)->agent, WSC_TEXT, (const uint8_t *)text, len);
}

static int iqra_send_dtmf(void *state, char digit) {
    char text[40];
    int len = snprintf(text, sizeof text, "{\"type\":\"dtmf\",\"digit\":\"%c\"}", digit);
    return iqra_send_text(state, text, (size_t)len);
}

const struct agent_ops agent_iqra_ops = {
    .dialect = "iqra",
    .open = iqra_open,
    .free = iqra_free,
    .on_data = iqra_on_data,
    .send_audio = iqra_send_audio,
    .send_text = iqra_send_text,
    .send_dtmf = iqra_send_dtmf,
};

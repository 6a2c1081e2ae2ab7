// SPDX-License-Identifier: Apache-2.0
#include "signaling/browser.h"

#include "gateway/core/json_depth.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEPTH_MAX = 8,
    SIZE_MAX_BYTES = 65536,
    CANDIDATE_MAX = 1024,
    MID_MAX = 64,
    UFRAG_MAX = 256,
    MLINE_MAX = 255
};

static int parse_offer(const json_t *root, struct browser_msg *msg, struct err_text *err) {
    const json_t *sdp = json_object_get(root, "sdp");
    if (!json_is_string(sdp))
        return err_set(err, -EPROTO, "sdp: a string is needed");
    if (!json_string_length(sdp))
        return err_set(err, -EPROTO, "sdp: is empty");
    msg->type = BROWSER_OFFER;
    msg->sdp_len = json_string_length(sdp);
    msg->sdp = strdup(json_string_value(sdp));
    return msg->sdp ? 0 : err_set(err, -ENOMEM, "out of memory");
}

// Takes an optional string; null and absent are the same.
static int take_string(const json_t *object, const char *name, size_t max, char **out, struct err_text *err) {
    const json_t *value = json_object_get(object, name);
    if (!value || json_is_null(value))
        return 0;
    if (!json_is_string(value))
        return err_set(err, -EBADMSG, "candidate.%s: a string is needed", name);
    if (json_string_length(value) > max)
        return err_set(err, -EBADMSG, "candidate.%s: longer than %zu characters", name, max);
    *out = strdup(json_string_value(value));
    return *out ? 0 : err_set(err, -ENOMEM, "out of memory");
}

static int take_mline(const json_t *object, int *out, struct err_text *err) {
    const json_t *value = json_object_get(object, "sdpMLineIndex");
    if (!value || json_is_null(value))
        return 0;
    json_int_t index = json_integer_value(value);
    if (!json_is_integer(value) || index < 0 || index > MLINE_MAX)
        return err_set(err, -EBADMSG, "candidate.sdpMLineIndex: a number from 0 to %d is needed", MLINE_MAX);
    *out = (int)index;
    return 0;
}

static int parse_candidate(const json_t *root, struct browser_msg *msg, struct err_text *err) {
    const json_t *object = json_object_get(root, "candidate");
    msg->type = BROWSER_CANDIDATE;
    if (json_is_null(object))
        return 0;
    if (!json_is_object(object))
        return err_set(err, -EBADMSG, "candidate: an object or null is needed");
    int rc = take_string(object, "candidate", CANDIDATE_MAX, &msg->candidate, err);
    if (rc == 0)
        rc = take_string(object, "sdpMid", MID_MAX, &msg->sdp_mid, err);
    if (rc == 0)
        rc = take_string(object, "usernameFragment", UFRAG_MAX, &msg->ufrag, err);
    if (rc == 0)
        rc = take_mline(object, &msg->sdp_mline_index, err);
    return rc;
}

static int parse_root(const json_t *root, struct browser_msg *msg, struct err_text *err) {
    const char *type = json_string_value(json_object_get(root, "type"));
    if (!json_is_object(root))
        return err_set(err, -EPROTO, "a message is a JSON object");
    if (!type)
        return err_set(err, -EPROTO, "type: a string is needed");
    if (strcmp(type, "offer") == 0)
        return parse_offer(root, msg, err);
    if (strcmp(type, "candidate") == 0)
        return parse_candidate(root, msg, err);
    if (strcmp(type, "hangup") != 0)
        return err_set(err, -EPROTO, "type: \"%.32s\" is not offer, candidate or hangup", type);
    msg->type = BROWSER_HANGUP;
    return 0;
}

int browser_msg_parse(const char *text, size_t len, struct browser_msg *out, struct err_text *err) {
    if (len > SIZE_MAX_BYTES)
        return err_set(err, -EINVAL, "longer than %d bytes", SIZE_MAX_BYTES);
    if (!json_depth_ok(text, len, DEPTH_MAX))
        return err_set(err, -EINVAL, "nested deeper than %d", DEPTH_MAX);
    json_error_t error;
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        return err_set(err, -EINVAL, "not JSON: %s at byte %d", error.text, error.position);
    struct browser_msg msg = {.sdp_mline_index = -1};
    int rc = parse_root(root, &msg, err);
    if (rc == 0)
        *out = msg;
    else
        browser_msg_clear(&msg);
    json_decref(root);
    return rc;
}

void browser_msg_clear(struct browser_msg *msg) {
    free(msg->sdp);
    free(msg->candidate);
    free(msg->sdp_mid);
    free(msg->ufrag);
    memset(msg, 0, sizeof *msg);
    msg->sdp_mline_index = -1;
}

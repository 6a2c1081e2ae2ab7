// SPDX-License-Identifier: Apache-2.0
// What an agent can send us, down to the leg: WebSocket frames -> dialect "iqra" -> pacer -> pulls.
// First byte: encoding (low two bits) and how many bytes come at a time; second: milliseconds between them.
#include "gateway/agent_ops.h"
#include "gateway/core/utf8.h"
#include "gateway/pacer.h"
#include "signaling/wsc_frame.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_MAX = 64 * 1024 };

// Stands in for gateway/agent.c below the dialect.
struct agent {
    struct pacer *pacer;
    uint64_t now_us;
    uint64_t in, out;
    bool failed;
};

void agent_give_audio(struct agent *agent, const uint8_t *data, size_t len, bool message_end) {
    agent->in += len;
    pacer_put(agent->pacer, data, len, message_end, agent->now_us);
}

void agent_give_text(struct agent *agent, const char *text, size_t len) {
    (void)agent;
    if (len > TEXT_MAX || !utf8_valid(text, len))
        abort();
}

bool agent_give_dtmf(struct agent *agent, const char *digits) {
    size_t len = strlen(digits);
    if (!len || len > AGENT_DTMF_MAX)
        abort();
    return !agent->failed;
}

int agent_write(struct agent *agent, enum wsc_kind kind, const uint8_t *data, size_t len) {
    (void)agent;
    (void)kind;
    (void)data;
    (void)len;
    return 0;
}

const char *agent_call_id(const struct agent *agent) {
    (void)agent;
    return "fuzz";
}

void agent_fail(struct agent *agent, unsigned code, const char *reason) {
    (void)code;
    (void)reason;
    agent->failed = true;
}

static void pull(struct agent *agent, bool packets) {
    uint8_t out[1920];
    uint32_t ticks = 0;
    size_t len = packets ? pacer_pull_packet(agent->pacer, out, &ticks, agent->now_us)
                         : pacer_pull(agent->pacer, out, 640, agent->now_us);
    agent->out += len;
    if (agent->out > agent->in || (packets && len && (!ticks || ticks > 5760)))
        abort();
}

static void run(struct agent *agent, void *state, bool packets, const uint8_t *data, size_t size, size_t step,
                uint64_t pause_us) {
    struct wsc_frames frames = {0};
    struct wsc_piece piece;
    while (size && !agent->failed) {
        size_t n = size < step ? size : step;
        const uint8_t *at = data;
        data += n;
        size -= n;
        int got;
        while ((got = wsc_frames_next(&frames, &at, &n, &piece)) > 0 && !agent->failed) {
            if (piece.type == WSC_PIECE_DATA)
                agent_iqra_ops.on_data(state, piece.kind, piece.data, piece.len, piece.end);
        }
        if (got < 0)
            return;
        agent->now_us += pause_us;
        pull(agent, packets);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const enum codec_id codecs[] = {CODEC_L16, CODEC_PCMU, CODEC_OPUS, CODEC_L16};
    if (size < 2)
        return 0;
    enum codec_id codec = codecs[data[0] & 3];
    const struct pacer_config config = {.codec = codec, .rate_hz = 16000, .frame_ms = 20};
    struct agent agent = {.now_us = 1000000};
    void *state = NULL;
    if (pacer_new(&agent.pacer, &config) == 0 && agent_iqra_ops.open(&agent, &state) == 0)
        run(&agent, state, codec == CODEC_OPUS, data + 2, size - 2, (data[0] >> 2) + 1u, data[1] * 1000u);
    agent_iqra_ops.free(state);
    pacer_free(agent.pacer);
    return 0;
}

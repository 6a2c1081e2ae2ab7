// SPDX-License-Identifier: Apache-2.0
#include "gateway/pacer_trim.h"

#include <string.h>

enum {
    SECOND_US = 1000000,
    SLACK_US = 200000, // a chunk may be early by so much
    EXCESS = 20,       // and the agent's clock fast by a 20th
};

// Whether every byte is `value`, but for the bits of `open`. By words: while the agent says nothing, each chunk is
// looked at to its end.
static bool all_of(const uint8_t *data, size_t len, uint8_t value, uint8_t open) {
    const uint64_t each = 0x0101010101010101u, wanted = each * value, ignored = each * open;
    uint64_t word;
    size_t i = 0;
    for (; i + sizeof word <= len; i += sizeof word) {
        memcpy(&word, data + i, sizeof word);
        if ((word | ignored) != wanted)
            return false;
    }
    for (; i < len; i++) {
        if ((data[i] | open) != value)
            return false;
    }
    return true;
}

bool pacer_trim_quiet(enum codec_id codec, const uint8_t *data, size_t len) {
    switch (codec) {
    case CODEC_L16:
        return all_of(data, len, 0, 0);
    case CODEC_PCMU:
        return all_of(data, len, 0xff, 0x80);
    case CODEC_PCMA:
        return all_of(data, len, 0xd5, 0x80);
    case CODEC_OPUS: // without audio, or libopus' own packet for zeros
        return len <= 2 || (len == 3 && data[1] == 0xff && data[2] == 0xfe);
    default:
        return false;
    }
}

static bool within_real_time(const struct pacer_trim *trim, uint64_t elapsed_us) {
    return trim->come_us <= elapsed_us + elapsed_us / EXCESS + SLACK_US;
}

static void measure(struct pacer_trim *trim, uint64_t audio_us, uint64_t now_us) {
    uint64_t elapsed_us = now_us > trim->begin_us ? now_us - trim->begin_us : 0;
    trim->come_us += audio_us;
    if (!within_real_time(trim, elapsed_us))
        trim->steady = false;
    if (elapsed_us < SECOND_US)
        return;
    trim->steady = within_real_time(trim, elapsed_us);
    trim->begin_us = now_us;
    trim->come_us = 0;
}

bool pacer_trim(struct pacer_trim *trim, bool quiet, uint64_t audio_us, uint32_t queued_ms, uint64_t now_us) {
    if (!trim->begin_us)
        trim->begin_us = now_us;
    measure(trim, audio_us, now_us);
    uint64_t before_us = trim->quiet_us;
    trim->quiet_us = quiet ? before_us + audio_us : 0;
    return quiet && trim->steady && before_us >= PACER_TRIM_KEEP_MS * 1000u &&
           queued_ms > PACER_TRIM_QUEUE_MS;
}

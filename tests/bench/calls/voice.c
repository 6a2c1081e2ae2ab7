// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/calls/voice.h"

#include <string.h>

enum { GAP_MAX = 1000 };

static const struct {
    uint8_t payload_type;
    const char *rtpmap;
} codecs[] = {[CODEC_PCMU] = {0, "PCMU/8000"},
              [CODEC_PCMA] = {8, "PCMA/8000"},
              [CODEC_G722] = {9, "G722/8000"},
              [CODEC_OPUS] = {111, "opus/48000/2"}};

uint8_t voice_payload_type(enum codec_id codec) {
    return codecs[codec].payload_type;
}

const char *voice_rtpmap(enum codec_id codec) {
    return codecs[codec].rtpmap;
}

int voice_init(struct voice *voice, struct run *run, unsigned call) {
    enum codec_id codec = run->options.caller_codec;
    *voice = (struct voice){.run = run,
                            .call = call,
                            .payload_type = codecs[codec].payload_type,
                            .ticks = codec_desc(codec)->clock_hz * VOICE_FRAME_MS / 1000,
                            .next_frame = call * 7U};
    return track_ear_init(&voice->ear, codec, codec_pcm_rate(codec, 16000));
}

void voice_clear(struct voice *voice) {
    track_ear_clear(&voice->ear);
}

size_t voice_next(struct voice *voice, uint8_t *out, bool *mark) {
    const struct track *track = &voice->run->caller_track;
    const struct track_frame *frame = &track->frame[voice->next_frame++ % track->frames];
    const struct rtp_packet header = {.payload_type = voice->payload_type,
                                      .seq = voice->seq++,
                                      .timestamp = voice->timestamp,
                                      .ssrc = 0x1000 + voice->call};
    voice->timestamp += voice->ticks;
    rtp_write(out, VOICE_PACKET, &header);
    memcpy(out + RTP_HEADER_LEN, frame->bytes, frame->len);
    voice->run->counters.rtp_sent += voice->run->measuring;
    *mark = frame->mark;
    return RTP_HEADER_LEN + frame->len;
}

void voice_seen(struct voice *voice, uint16_t seq) {
    struct run *run = voice->run;
    uint16_t gap = (uint16_t)(seq - voice->expected_seq);
    if (run->measuring) {
        run->counters.rtp_received++;
        if (voice->heard_any && gap && gap < GAP_MAX)
            run->counters.rtp_gaps += gap;
    }
    voice->heard_any = true;
    voice->expected_seq = (uint16_t)(seq + 1);
}

bool voice_listens(const struct voice *voice) {
    return voice->run->marks[voice->call].down_us != 0;
}

void voice_hear(struct voice *voice, const struct rtp_packet *packet) {
    int64_t now_us = run_now_us();
    if (!voice_listens(voice) || packet->payload_type != voice->payload_type)
        return;
    track_ear_expect(&voice->ear, now_us);
    if (track_ear_hears(&voice->ear, packet->payload, packet->payload_len, now_us))
        run_mark_heard(voice->run, voice->call, false, now_us);
}

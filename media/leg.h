// SPDX-License-Identifier: Apache-2.0
// The only vocabulary that a leg (browser peer, SIP trunk) and the bridge share.
//
// The bridge's tick pulls: every frame it asks the leg for exactly one frame of caller audio (the leg's
// jitter buffer conceals what is missing) and hands it exactly one frame of agent audio. All of it on the
// call's worker thread.
#ifndef IQ_MEDIA_LEG_H
#define IQ_MEDIA_LEG_H

#include "media/codec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum leg_end {
    LEG_END_HANGUP, // the far end hung up, or we closed it
    LEG_END_LOST,   // consent lost, transport failed, nothing heard for too long
    LEG_END_FAILED, // never came up: DTLS or ICE failed, timed out
};

struct leg_media {
    enum codec_id codec; // negotiated for both directions
    uint32_t ptime_ms;   // what we send: 20 unless negotiated otherwise
    uint32_t
        pcm_rate_hz; // rate of read_pcm and write_pcm, the nearest the codec has to what the bridge asked
};

struct leg_stats {
    uint64_t rx_packets, rx_bytes, rx_lost, rx_late, rx_duplicates, tx_packets, tx_bytes;
    uint64_t concealed_ms;        // caller audio made up
    uint32_t jitter_us;           // RFC 3550 interarrival jitter of what we receive
    uint32_t jitter_target_ms;    // what the jitter buffer aims at now
    uint32_t rtt_us;              // from RTCP, 0 when unknown
    uint8_t remote_fraction_lost; // of what we send, in 1/256, from the peer's last report
    uint64_t remote_lost;         // of what we sent, by that report
    uint32_t remote_jitter_us;    // of what we send, by that report
};

// Filled in by gateway/, called by the leg on the call's worker. None may free the leg inside the callback;
// leg_ops.close may be called from any of them.
struct leg_events {
    void (*on_up)(void *arg);    // media flows both ways; read/write may begin. Once
    void (*on_media)(void *arg); // codec or rate changed by renegotiation: ask for media() again
    void (*on_audio)(
        void *arg); // a packet is in the jitter buffer; reads and writes may follow inside. May be NULL
    void (*on_text)(const char *text, size_t len, void *arg); // one message, not terminated
    void (*on_dtmf)(char digit, void *arg);
    void (*on_end)(enum leg_end end, const char *reason, void *arg); // once; the owner then closes the leg
    void (*on_closed)(void *arg); // once, last, after close(): nothing of the leg is left
};

// read_* and write_* MUST NOT allocate, lock or log.
struct leg_ops {
    // What was negotiated. `want_rate_hz` is what the bridge would like read_pcm/write_pcm to be at;
    // remembered.
    struct leg_media (*media)(void *leg, uint32_t want_rate_hz);
    // Exactly `samples` of mono PCM at media().pcm_rate_hz; concealment or silence where nothing came.
    void (*read_pcm)(void *leg, int16_t *out, size_t samples, uint64_t now_us);
    // Passthrough: the payload for the next `frame_ms`. Returns its length, or 0 when that frame is lost or
    // not there.
    size_t (*read_payload)(void *leg, uint8_t *out, size_t cap, uint32_t frame_ms, uint64_t now_us);
    // By how much later than its jitter buffer aims at the last reads took their audio, in microseconds; negative:
    // earlier. False when that is not known now. May be NULL.
    bool (*read_late)(void *leg, int64_t *late_us);
    // Exactly ptime_ms of mono PCM at media().pcm_rate_hz: encoded and sent at once. `silence` tells that it
    // holds none of the agent's speech.
    void (*write_pcm)(void *leg, const int16_t *pcm, size_t samples, bool silence, uint64_t now_us);
    // Passthrough: one payload lasting `duration_ms`, sent as it is. len 0: nothing is sent, the timestamp
    // moves on.
    void (*write_payload)(void *leg, const uint8_t *payload, size_t len, uint32_t duration_ms,
                          uint64_t now_us);
    // -EAGAIN when its queue is full, -EMSGSIZE beyond 64 KiB, -ENOTCONN when the peer has no channel for
    // text.
    int (*send_text)(void *leg, const char *text, size_t len);
    // Digits (0-9 * # A-D, ',' = a pause) sent to the far end, after those still waiting: as RFC 4733 events,
    // or as tones where it takes none. May be NULL. -EAGAIN when its queue is full, -EINVAL.
    int (*send_dtmf)(void *leg, const char *digits);
    void (*stats)(void *leg, struct leg_stats *out);
    // Hangs up (RTCP BYE, DTLS close, SIP BYE) and frees; on_closed follows, from the loop, never inside.
    void (*close)(void *leg, const char *reason);
};

struct leg {
    const struct leg_ops *ops;
    void *impl; // the `leg` argument of every op
};

#endif

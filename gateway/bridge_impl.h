// SPDX-License-Identifier: Apache-2.0
// The bridge's two directions; each is one tick and what it needs. Only gateway/bridge*.c includes this.
#ifndef IQ_GATEWAY_BRIDGE_IMPL_H
#define IQ_GATEWAY_BRIDGE_IMPL_H

#include "gateway/bridge.h"
#include "gateway/pacer.h"
#include "media/resample.h"

enum {
    BRIDGE_MAX_SAMPLES = 48 * 60,              // of one frame at 48 kHz
    BRIDGE_MAX_FRAME = BRIDGE_MAX_SAMPLES * 2, // bytes of one frame to the agent
    // What a deadline moves in one frame at most while it looks for its place beside the packets it waits for:
    // about one per cent, which neither an agent nor a browser's jitter buffer minds.
    BRIDGE_SLEW_US = 250,
    BRIDGE_IN_PLACE_US = 200, // near enough
    BRIDGE_COMPLEXITY = 5,    // of Opus: the codec's own, before it is tuned
    // How long before its deadline a frame may leave because what it is made of has just come: the packet after
    // the one that is ripe, the agent's chunk. It saves a wake-up of the worker, and the wait.
    BRIDGE_UP_EARLY_US = 2000,
    BRIDGE_DOWN_EARLY_US = 2 * PACER_CUSHION_MS * 1000,
    BRIDGE_UP_BEHIND_US = 600, // where the deadline lies: so much after the packets' usual time
    // How far it may ever lie from where it began. Earlier: a stream begins with a packet too much, and the jitter
    // buffer with a first guess of 20 ms too many, which it leaves for a pause. Later: what it bears to lack.
    BRIDGE_UP_EARLIER_US = 45000,
    BRIDGE_UP_LATER_US = 10000,
};

// Frames from the leg to the agent, each frame_ms.
struct bridge_up {
    struct tick clock;
    struct codec_encoder *encoder; // owns; what the agent is sent, unless it passes through
    unsigned complexity;           // that it is tuned for
    struct resampler *resampler;   // owns; NULL where the rates are the same
    bool passthrough;
    int32_t shifted_us;    // the clock, since its begin
    unsigned missing;      // payloads in a row
    uint64_t packets_then; // that the leg had received when they began to miss
    uint8_t lost[2];       // Opus: a packet that says "this one is lost", after the last that came
    size_t lost_len;
    uint64_t frames, dropped;
};

// Frames from the agent to the leg, each ptime.
struct bridge_down {
    struct tick clock;
    struct pacer *pacer;           // owns
    struct codec_decoder *decoder; // owns
    struct resampler *resampler;   // owns; NULL where the rates are the same
    struct pacer_edge edge;
    bool passthrough;
    bool passed; // G.711: the frame before was the agent's own, and this was its last sample
    uint8_t last_code;
    bool paused;        // the agent is
    uint64_t waited_us; // the deadline at which the agent was waited for
    bool flushing;      // the resampler still holds the end of the speech
    uint32_t noise;     // state of the comfort noise
    uint64_t underruns; // of the pacer, already in the metric
    uint64_t frames;
    int16_t *left; // owns; OPUS: samples decoded and not yet sent
    size_t left_samples;
};

struct bridge {
    struct bridge_config config;
    struct bridge_ops ops;
    enum codec_id codec;    // on the agent's socket
    uint32_t rate_hz;       // of the agent's PCM
    struct leg_media media; // of the leg, once it is up
    bool leg_up, agent_up;
    bool in_tick, freed; // bridge_free from inside a callback waits for the tick's end
    struct bridge_up up;
    struct bridge_down down;
};

// bridge_up.c. Each answers by how much its next deadline is to move (ticker_shift).
int32_t bridge_up_run(struct bridge *bridge, uint64_t now_us);
// bridge_down.c
bool bridge_down_waits(struct bridge *bridge, uint64_t now_us); // once for each deadline; it comes again then
int32_t bridge_down_run(struct bridge *bridge, uint64_t now_us);
void bridge_heed_pacer(struct bridge *bridge); // after every put and pull: pause, resume, count
// By how much a deadline that is `late_us` too late is to move, within the limits above.
int32_t bridge_slew(int64_t late_us);
// bridge_payload.c
size_t bridge_lost_opus(const uint8_t *payload, size_t len, uint8_t out[2]);
size_t bridge_first_lost_opus(uint32_t frame_ms, uint8_t out[2]);

#endif

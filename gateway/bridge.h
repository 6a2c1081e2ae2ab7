// SPDX-License-Identifier: Apache-2.0
// One leg and one agent, bridged on the ticker's absolute deadlines:
//
//   tick -> leg read_pcm -> resample -> encode -> agent_send_audio    exactly one frame each agent frame_ms
//   agent bytes -> pacer -> decode -> resample -> leg write_pcm       exactly one frame each leg ptime,
//                                                                     silence when dry
//   a packet or chunk that comes just before its deadline sets off its frame at once
//   passthrough: the same codec on both sides and the same frame: payloads cross as they are
//
// Owned by the call, on its worker. Allocates at bridge_new and when the agent bursts (pacer blocks), never
// per packet.
#ifndef IQ_GATEWAY_BRIDGE_H
#define IQ_GATEWAY_BRIDGE_H

#include "gateway/agent.h"
#include "gateway/core/ticker.h"
#include "media/leg.h"

struct bridge;

struct bridge_config {
    struct ticker *ticker;
    struct leg leg;
    struct agent_format format;
    bool comfort_noise; // low noise instead of digital silence while the agent thinks
    const unsigned
        *complexity; // of Opus encoders, looked at with each frame; borrowed, NULL for the codec's own
};

// What the bridge needs of the agent, so that tests can stand in for it.
struct bridge_ops {
    int (*send_audio)(const uint8_t *frame, size_t len, void *arg);
    void (*pause)(bool paused, void *arg);
    void *arg;
};

int bridge_new(struct bridge **out, const struct bridge_config *config, const struct bridge_ops *ops);
void bridge_free(struct bridge *bridge); // stops the ticks

int bridge_leg_up(struct bridge *bridge);     // the leg's media is up: ticks toward the browser begin
int bridge_leg_media(struct bridge *bridge);  // codec or rate of the leg changed
void bridge_leg_audio(struct bridge *bridge); // a packet came; not from inside a read or write
void bridge_agent_up(
    struct bridge *bridge); // the agent's socket is open: frames to it begin once the leg is up
// From agent_events.on_audio; may come before the leg is up: up to 30 s (and at most 8 MiB) wait, then the
// agent is paused.
void bridge_agent_audio(struct bridge *bridge, const uint8_t *data, size_t len, bool message_end);

struct bridge_stats {
    uint64_t frames_to_agent, frames_dropped, bytes_from_agent, frames_from_agent, underruns;
    uint32_t queued_ms; // of agent audio waiting
    bool passthrough;
};
void bridge_stats(const struct bridge *bridge, struct bridge_stats *out);

#endif

// SPDX-License-Identifier: Apache-2.0
#include "media/jitter.h"

#include "media/jitter_delay.h"
#include "media/jitter_pool.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

enum {
    DEFAULT_FRAME_MS = 20,
    JUMP_US = 600000,    // beyond the largest target: no network does that to timestamps, the sender did
    HURRY_US = 40000,    // excess that is no longer left for a quiet moment
    SHORT_US = 10000,    // what the delay may lack: half of the least target, so that it never runs dry
    FIRST_SEQ = 1 << 17, // unwrapped sequence numbers begin here, so that earlier ones stay positive
};

enum slot_state { SLOT_NONE, SLOT_PACKET, SLOT_FILLER, SLOT_PLAYED };

struct slot {
    enum slot_state state;
    int64_t seq, ts; // unwrapped
    uint32_t ticks;
    uint16_t chain, len;
};

struct jitter {
    uint32_t clock_hz, frame_ticks; // frame_ticks: the latest packet's duration
    uint32_t unsure_us;
    size_t max_payload;
    struct jitter_pool pool; // owns

    bool have_seq, have_ts;
    int64_t top_seq;       // the highest seen
    int64_t raw_ts, shift; // the newest packet's timestamp unwrapped, and what makes the timeline seamless
    int64_t newest_seq, newest_ts;
    uint32_t newest_ticks;
    uint64_t newest_came_us;

    bool playing, played_any, hurrying;
    int64_t next_seq, play_ts;         // what is due
    uint64_t dry_ticks, pending_ticks; // concealed since the last packet, and not yet known to have been loss
    int64_t lead_us;
    bool late_known;
    int64_t late_us; // of the latest packet handed out
    struct jitter_stats counters;
    struct jitter_delay delay;
    struct slot slots[JITTER_SLOTS];
    uint8_t scratch[]; // max_payload bytes, for a payload that is not in one piece
};

static int64_t ticks_to_us(const struct jitter *j, int64_t ticks) {
    return ticks * 1000000 / j->clock_hz;
}

static int64_t us_to_ticks(const struct jitter *j, int64_t us) {
    return us * j->clock_hz / 1000000;
}

static int64_t jump_us(const struct jitter *j) {
    return j->delay.max_us + JUMP_US;
}

int jitter_new(struct jitter **out, const struct jitter_config *config) {
    uint32_t min_ms = config->min_ms ? config->min_ms : JITTER_DEFAULT_MIN_MS;
    uint32_t max_ms = config->max_ms ? config->max_ms : JITTER_DEFAULT_MAX_MS;
    if (config->clock_hz < 1000 || !config->max_payload || config->max_payload > UINT16_MAX ||
        min_ms > max_ms)
        return -EINVAL;
    if (config->pool_bytes < config->max_payload)
        return -EINVAL;
    struct jitter *j = calloc(1, sizeof *j + config->max_payload);
    if (!j)
        return -ENOMEM;
    int err = jitter_pool_init(&j->pool, config->pool_bytes);
    if (err) {
        free(j);
        return err;
    }
    j->clock_hz = config->clock_hz;
    j->frame_ticks = j->clock_hz / 1000 * DEFAULT_FRAME_MS;
    j->max_payload = config->max_payload;
    jitter_delay_init(&j->delay, min_ms, max_ms);
    *out = j;
    return 0;
}

void jitter_free(struct jitter *j) {
    if (!j)
        return;
    jitter_pool_destroy(&j->pool);
    free(j);
}

static struct slot *slot_of(struct jitter *j, int64_t seq) {
    return &j->slots[(uint64_t)seq % JITTER_SLOTS];
}

static bool is_filler(struct jitter *j, int64_t seq) {
    struct slot *slot = slot_of(j, seq);
    return slot->seq == seq && slot->state == SLOT_FILLER;
}

static bool is_packet(struct jitter *j, int64_t seq) {
    struct slot *slot = slot_of(j, seq);
    return slot->seq == seq && slot->state == SLOT_PACKET;
}

static void release(struct jitter *j, struct slot *slot, enum slot_state state) {
    if (slot->state == SLOT_PACKET)
        jitter_pool_release(&j->pool, slot->chain);
    slot->state = state;
}

void jitter_restart(struct jitter *j) {
    for (size_t i = 0; i < JITTER_SLOTS; i++)
        release(j, &j->slots[i], SLOT_NONE);
    j->have_seq = false;
    j->have_ts = false;
    j->playing = false;
    j->played_any = false;
    j->hurrying = false;
    j->dry_ticks = 0;
    j->pending_ticks = 0;
}

// ---- put

static int64_t unwrap_seq(const struct jitter *j, uint16_t seq) {
    return j->have_seq ? j->top_seq + (int16_t)(uint16_t)(seq - (uint16_t)j->top_seq) : FIRST_SEQ + seq;
}

static int64_t unwrap_ts(const struct jitter *j, uint32_t timestamp) {
    return j->have_ts ? j->raw_ts + (int32_t)(timestamp - (uint32_t)j->raw_ts) : timestamp;
}

// Gives up the packet that is due, in or not.
static void pass_one(struct jitter *j) {
    struct slot *slot = slot_of(j, j->next_seq);
    if (is_packet(j, j->next_seq)) {
        release(j, slot, SLOT_PLAYED);
        j->counters.skipped++;
    } else if (!is_filler(j, j->next_seq)) {
        j->counters.lost++;
    }
    j->next_seq++;
}

static int admit_seq(struct jitter *j, int64_t seq) {
    const struct slot *slot = slot_of(j, seq);
    if (slot->seq == seq && slot->state != SLOT_NONE) {
        j->counters.duplicates++;
        return -EALREADY;
    }
    // Before anything was played there is no too late, unless it lies outside the ring.
    if (seq < j->next_seq && !j->played_any && j->top_seq - seq < JITTER_SLOTS)
        j->next_seq = seq;
    if (seq < j->next_seq) {
        j->counters.late++;
        return -ETIME;
    }
    // A jump this large comes from somebody who began anew; walking there would count thousands as lost.
    if (seq - j->next_seq > 16 * JITTER_SLOTS) {
        jitter_restart(j);
        j->next_seq = seq;
    }
    while (seq - j->next_seq >= JITTER_SLOTS)
        pass_one(j);
    return 0;
}

// Where the timestamp jumps, the timeline goes on by the time that passed, and later packets with it.
static void splice(struct jitter *j, int64_t raw_ts, uint64_t now_us) {
    int64_t passed = us_to_ticks(j, (int64_t)(now_us - j->newest_came_us));
    int64_t least = j->newest_ticks;
    j->shift = j->newest_ts + (passed > least ? passed : least) - raw_ts;
}

// Measures the delay and returns the place on the timeline; false for an old packet from before a jump.
static bool place(struct jitter *j, int64_t seq, uint32_t timestamp, uint64_t now_us, int64_t *out) {
    int64_t raw_ts = unwrap_ts(j, timestamp);
    bool newest = !j->have_ts || seq > j->newest_seq;
    int64_t offset_us = (int64_t)now_us - ticks_to_us(j, raw_ts + j->shift);
    int64_t above_us = offset_us - j->delay.floor_us;
    // After a pause the sender's clock may have stood still all the while.
    bool paused = newest && !j->playing && j->played_any && j->next_seq > j->newest_seq;
    int64_t most_us = paused ? jump_us(j) / 2 : jump_us(j);
    bool jumped = j->have_ts && (above_us > most_us || above_us < -most_us);
    if (jumped && !newest)
        return false;
    if (!j->have_ts || (jumped && paused)) {
        jitter_delay_rebase(&j->delay, offset_us, now_us);
    } else if (jumped) {
        splice(j, raw_ts, now_us);
        offset_us = (int64_t)now_us - ticks_to_us(j, raw_ts + j->shift);
    }
    jitter_delay_sample(&j->delay, offset_us, j->unsure_us, now_us);
    *out = raw_ts + j->shift;
    if (newest) {
        j->raw_ts = raw_ts;
        j->newest_seq = seq;
        j->newest_ts = *out;
        j->newest_came_us = now_us;
        j->have_ts = true;
    }
    return true;
}

static void store(struct jitter *j, int64_t seq, int64_t ts, const struct jitter_packet *packet) {
    while (jitter_pool_chunks(packet->len) > j->pool.free_count && j->next_seq < seq)
        pass_one(j);
    struct slot *slot = slot_of(j, seq);
    release(j, slot, SLOT_NONE);
    if (jitter_pool_chunks(packet->len) > j->pool.free_count) {
        j->counters.skipped++; // those in the pool are due after this one
        return;
    }
    slot->state = packet->ticks ? SLOT_PACKET : SLOT_FILLER;
    slot->seq = seq;
    slot->ts = ts;
    slot->ticks = packet->ticks;
    slot->len = (uint16_t)packet->len;
    slot->chain = packet->ticks ? jitter_pool_put(&j->pool, packet->payload, packet->len) : JITTER_NO_CHUNK;
}

int jitter_put(struct jitter *j, const struct jitter_packet *packet, uint64_t now_us) {
    if (packet->len > j->max_payload) {
        j->counters.oversize++;
        return -EMSGSIZE;
    }
    int64_t seq = unwrap_seq(j, packet->seq), ts = 0;
    if (!j->have_seq)
        j->next_seq = seq;
    int verdict = admit_seq(j, seq);
    if (!j->have_seq || seq > j->top_seq)
        j->top_seq = seq;
    j->have_seq = true;
    // A latecomer's delay is what the target is to learn from; a duplicate's says nothing.
    if (verdict == -EALREADY)
        return verdict;
    if (packet->ticks && !place(j, seq, packet->timestamp, now_us, &ts) && !verdict) {
        j->counters.late++;
        return -ETIME;
    }
    if (verdict)
        return verdict;
    if (packet->ticks && seq == j->newest_seq)
        j->newest_ticks = packet->ticks;
    store(j, seq, ts, packet);
    return 0;
}

void jitter_unsure(struct jitter *j, uint32_t unsure_us) {
    j->unsure_us = unsure_us;
}

// ---- get

void jitter_set_lead(struct jitter *j, uint64_t lead_us) {
    uint64_t most = (uint64_t)j->delay.max_us;
    j->lead_us = (int64_t)(lead_us < most ? lead_us : most);
}

// By how much what is due at `ts` would be played later than the target asks.
static int64_t excess_us(const struct jitter *j, int64_t ts, uint64_t at_us) {
    int64_t delay_us = (int64_t)at_us - ticks_to_us(j, ts) - j->delay.floor_us;
    return delay_us - j->delay.target_us - j->lead_us;
}

static struct slot *packet_from(struct jitter *j, int64_t seq) {
    for (; j->have_seq && seq <= j->top_seq; seq++) {
        if (is_packet(j, seq))
            return slot_of(j, seq);
    }
    return NULL;
}

static struct slot *first_packet(struct jitter *j) {
    return packet_from(j, j->next_seq);
}

static void pass_to(struct jitter *j, int64_t seq) {
    while (j->next_seq < seq)
        pass_one(j);
}

// Leaves out what would be played later than the target by `most_us` or more, but for the newest packet there
// is.
static struct slot *skip_late(struct jitter *j, struct slot *first, uint64_t at_us, int64_t most_us) {
    while (excess_us(j, first->ts, at_us) >= most_us) {
        struct slot *next = packet_from(j, first->seq + 1);
        if (!next)
            break;
        pass_to(j, first->seq + 1);
        first = next;
    }
    return first;
}

// Starts once the first packet has waited for the target; what has waited longer would only delay the rest.
static bool begin(struct jitter *j, uint64_t at_us) {
    struct slot *first = first_packet(j);
    if (!first || excess_us(j, first->ts, at_us) < 0)
        return false;
    first = skip_late(j, first, at_us, ticks_to_us(j, first->ticks));
    pass_to(j, first->seq);
    j->play_ts = first->ts;
    j->playing = true;
    j->played_any = true;
    j->hurrying = false;
    j->dry_ticks = 0;
    j->pending_ticks = 0;
    return true;
}

// Sequence numbers between what is due and `first` that nothing came for.
static int64_t missing_before(struct jitter *j, const struct slot *first) {
    int64_t missing = 0;
    for (int64_t seq = j->next_seq; seq < first->seq; seq++)
        missing += !is_filler(j, seq);
    return missing;
}

// Nothing there. The timeline waits, so that what is merely late is still heard.
static void get_dry(struct jitter *j, struct jitter_frame *out) {
    *out = (struct jitter_frame){.kind = JITTER_DRY, .ticks = j->frame_ticks};
    j->dry_ticks += j->frame_ticks;
    j->pending_ticks += j->frame_ticks;
    if (ticks_to_us(j, (int64_t)j->dry_ticks) >= jump_us(j))
        j->playing = false;
}

static enum jitter_pace pace_for(struct jitter *j, int64_t over_us, const struct slot *slot) {
    int64_t packet_us = ticks_to_us(j, slot->ticks);
    if (over_us < packet_us)
        j->hurrying = false;
    else if (over_us >= (packet_us > HURRY_US ? packet_us : HURRY_US))
        j->hurrying = true;
    // With nothing behind it, leaving out audio gains no time: packets come late, and soon the floor will
    // know.
    if (over_us >= packet_us && packet_from(j, slot->seq + 1))
        return j->hurrying ? JITTER_FASTER : JITTER_FASTER_IF_QUIET;
    int64_t short_us = packet_us / 2 < SHORT_US ? packet_us / 2 : SHORT_US;
    return over_us <= -short_us ? JITTER_SLOWER : JITTER_STEADY;
}

// Gaps are handed out by packets, but not in crumbs where packets are tiny.
static uint32_t piece_ticks(const struct jitter *j, uint32_t packet_ticks) {
    uint32_t least = j->clock_hz / 100;
    return packet_ticks > least ? packet_ticks : least;
}

static void get_packet(struct jitter *j, struct slot *slot, int64_t over_us, struct jitter_frame *out) {
    j->counters.concealed_ticks += j->pending_ticks;
    j->pending_ticks = 0;
    j->dry_ticks = 0;
    j->late_known = true;
    j->late_us = over_us;
    pass_to(j, slot->seq);
    *out = (struct jitter_frame){.kind = JITTER_PACKET,
                                 .pace = pace_for(j, over_us, slot),
                                 .ticks = slot->ticks,
                                 .payload = jitter_pool_get(&j->pool, slot->chain, j->scratch, slot->len),
                                 .len = slot->len};
    j->frame_ticks = piece_ticks(j, slot->ticks);
    j->play_ts = slot->ts + slot->ticks;
    j->next_seq = slot->seq + 1;
    release(j, slot, SLOT_PLAYED);
}

static uint32_t at_most(int64_t ticks, uint32_t most) {
    return ticks < most ? (uint32_t)ticks : most;
}

static void get_silence(struct jitter *j, int64_t silence, int64_t over_us, struct jitter_frame *out) {
    // Nobody hears silence last longer, so this is where delay grows for free, as it shrinks for free.
    int64_t grow = over_us < 0 ? us_to_ticks(j, -over_us) : 0;
    *out = (struct jitter_frame){.kind = JITTER_SILENCE, .ticks = at_most(silence + grow, j->frame_ticks)};
    int64_t advance = out->ticks - grow;
    j->play_ts += advance > 0 ? advance : 0;
}

static void get_lost(struct jitter *j, int64_t gap, const struct slot *next, struct jitter_frame *out) {
    // The last piece is as long as the next packet, because that is what its FEC covers.
    uint32_t piece = piece_ticks(j, next->ticks), odd = (uint32_t)(gap % piece);
    *out = (struct jitter_frame){.kind = JITTER_LOST, .ticks = odd ? odd : piece};
    j->counters.concealed_ticks += out->ticks;
    j->play_ts += out->ticks;
    if (gap > out->ticks) {
        // Earlier ones are given up one by one: the others may still come.
        if (missing_before(j, next) > 1)
            pass_one(j);
        return;
    }
    out->payload = jitter_pool_get(&j->pool, next->chain, j->scratch, next->len);
    out->len = next->len;
    pass_to(j, next->seq);
}

// The packets missing before `next` leave at most so much of the gap to be silence. Where both are in it,
// silence comes first, so that the loss lies where FEC reaches it.
static int64_t silence_in(struct jitter *j, int64_t gap, const struct slot *next) {
    int64_t missing = missing_before(j, next);
    int64_t each = next->ticks > j->frame_ticks ? next->ticks : j->frame_ticks;
    int64_t silence = gap - missing * each;
    return missing == 0 || silence >= each ? silence : 0;
}

// Leaves out of the gap what being dry has filled already, and what delay there is to be rid of: silence to
// the tick, loss by whole packets. Returns the ticks left out.
static int64_t shrink_gap(struct jitter *j, int64_t gap, int64_t silence, int64_t over_us, uint32_t ticks) {
    int64_t over = over_us > 0 ? us_to_ticks(j, over_us) : 0;
    int64_t most = silence ? silence : gap;
    int64_t skip = silence ? over : over / ticks * ticks;
    return skip < most ? skip : most;
}

static void get_due(struct jitter *j, struct slot *first, uint64_t at_us, struct jitter_frame *out) {
    int64_t over_us = excess_us(j, j->play_ts, at_us);
    int64_t gap = first->ts - j->play_ts;
    int64_t silence = gap > 0 ? silence_in(j, gap, first) : 0;
    if (silence)
        j->pending_ticks = 0; // being dry was no loss
    if (gap > 0) {
        int64_t skip = shrink_gap(j, gap, silence, over_us, first->ticks);
        j->play_ts += skip;
        gap -= skip;
        silence -= silence ? skip : 0;
        over_us -= ticks_to_us(j, skip);
    }
    if (gap <= 0)
        get_packet(j, first, over_us, out);
    else if (silence > 0)
        get_silence(j, silence, over_us, out);
    else
        get_lost(j, gap, first, out);
}

// After a stall: what cannot be heard within the largest target is not worth hearing. Nor can be heard what
// ends before the point that has been reached.
static struct slot *catch_up(struct jitter *j, uint64_t at_us) {
    struct slot *first = first_packet(j);
    while (first && first->ts + first->ticks <= j->play_ts) {
        pass_to(j, first->seq + 1);
        first = first_packet(j);
    }
    if (!first)
        return NULL;
    struct slot *kept = skip_late(j, first, at_us, j->delay.max_us - j->delay.target_us + HURRY_US);
    if (kept != first)
        j->play_ts = kept->ts;
    return kept;
}

void jitter_get(struct jitter *j, uint64_t now_us, uint64_t ahead_us, struct jitter_frame *out) {
    uint64_t at_us = now_us + ahead_us;
    if (!j->playing && !begin(j, at_us)) {
        *out = (struct jitter_frame){.kind = JITTER_IDLE, .ticks = j->frame_ticks};
        return;
    }
    struct slot *first = catch_up(j, at_us);
    if (first)
        get_due(j, first, at_us, out);
    else
        get_dry(j, out);
}

bool jitter_late(struct jitter *j, int64_t *late_us) {
    bool known = j->late_known;
    *late_us = j->late_us - (j->delay.usual_us - j->delay.floor_us);
    j->late_known = false;
    return known;
}

void jitter_stats(const struct jitter *j, struct jitter_stats *out) {
    *out = j->counters;
    out->target_ms = (uint32_t)(j->delay.target_us / 1000);
    int64_t held = j->playing ? j->newest_ts + j->newest_ticks - j->play_ts : 0;
    out->depth_ms = held > 0 ? (uint32_t)(ticks_to_us(j, held) / 1000) : 0;
}

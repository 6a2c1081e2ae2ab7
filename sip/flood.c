// SPDX-License-Identifier: Apache-2.0
#include "sip/flood.h"

#include "gateway/core/err.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { WAYS = 4, MISTAKES = 20, MISTAKE_REFILL_US = 10000000, SECOND_US = 1000000, MINUTE_US = 60000000 };

struct bucket {
    uint64_t saved_us; // a token is as much of it as its refill takes
    uint64_t at_us;    // 0: never used, which is full
};

struct source {
    uint64_t key[2];
    uint64_t seen_us; // 0: the place is free
    struct bucket invites, others, refusals, mistakes;
    struct flood_counts counts;
    uint64_t reported_us; // 0 = never
};

struct flood {
    uint64_t seed[2];
    int64_t per_second;
    size_t sets; // a power of two
    struct source sources[];
};

int flood_new(struct flood **out, size_t sources) {
    size_t sets = 1;
    while (sets * WAYS < sources)
        sets *= 2;
    struct flood *flood = calloc(1, sizeof *flood + sets * WAYS * sizeof flood->sources[0]);
    if (!flood)
        return -ENOMEM;
    if (getrandom(flood->seed, sizeof flood->seed, 0) != (ssize_t)sizeof flood->seed) {
        int err = -errno;
        free(flood);
        return err;
    }
    flood->sets = sets;
    *out = flood;
    return 0;
}

void flood_free(struct flood *flood) {
    free(flood);
}

void flood_set_rate(struct flood *flood, int64_t per_second) {
    flood->per_second = per_second;
}

static uint64_t mix(uint64_t x) {
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static void key_of(const struct in6_addr *address, uint64_t key[2]) {
    memcpy(key, address->s6_addr, 16);
    if (!IN6_IS_ADDR_V4MAPPED(address))
        key[1] = 0;
}

// The source's place; that of the one seen longest ago when it has none yet.
static struct source *find(struct flood *flood, const struct in6_addr *address, uint64_t now_us) {
    uint64_t key[2];
    key_of(address, key);
    uint64_t hash = mix(mix(key[0] ^ flood->seed[0]) + (key[1] ^ flood->seed[1]));
    struct source *set = &flood->sources[(hash & (flood->sets - 1)) * WAYS], *oldest = set;
    for (struct source *source = set; source < set + WAYS; source++) {
        if (source->seen_us && memcmp(source->key, key, sizeof key) == 0) {
            source->seen_us = now_us;
            return source;
        }
        if (source->seen_us < oldest->seen_us)
            oldest = source;
    }
    *oldest = (struct source){.key = {key[0], key[1]}, .seen_us = now_us ? now_us : 1};
    return oldest;
}

// Whether there is a token: the bucket holds `size` of them, and one comes each `refill_us`.
static bool take(struct bucket *bucket, uint64_t size, uint64_t refill_us, uint64_t now_us) {
    uint64_t full_us = size * refill_us, passed_us = now_us - bucket->at_us;
    if (!bucket->at_us || passed_us > full_us - bucket->saved_us)
        bucket->saved_us = full_us;
    else
        bucket->saved_us += passed_us;
    bucket->at_us = now_us;
    if (bucket->saved_us < refill_us)
        return false;
    bucket->saved_us -= refill_us;
    return true;
}

static bool take_of_second(const struct flood *flood, struct bucket *bucket, uint64_t now_us) {
    uint64_t size = (uint64_t)flood->per_second;
    return take(bucket, size, size < SECOND_US ? SECOND_US / size : 1, now_us);
}

enum flood_verdict flood_request(struct flood *flood, const struct in6_addr *address, bool invite,
                                 uint64_t now_us) {
    if (!flood->per_second)
        return FLOOD_PASS;
    struct source *source = find(flood, address, now_us);
    if (take_of_second(flood, invite ? &source->invites : &source->others, now_us))
        return FLOOD_PASS;
    if (take_of_second(flood, &source->refusals, now_us)) {
        source->counts.refused++;
        return FLOOD_REFUSE;
    }
    source->counts.silent++;
    return FLOOD_SILENT;
}

enum flood_verdict flood_malformed(struct flood *flood, const struct in6_addr *address, uint64_t now_us) {
    if (!flood->per_second)
        return FLOOD_PASS;
    struct source *source = find(flood, address, now_us);
    if (take_of_second(flood, &source->others, now_us))
        return FLOOD_PASS;
    source->counts.silent++;
    return FLOOD_SILENT;
}

enum flood_verdict flood_mistake(struct flood *flood, const struct in6_addr *address, uint64_t now_us) {
    struct source *source = find(flood, address, now_us);
    if (take(&source->mistakes, MISTAKES, MISTAKE_REFILL_US, now_us))
        return FLOOD_PASS;
    source->counts.silent++;
    return FLOOD_SILENT;
}

void flood_scanner(struct flood *flood, const struct in6_addr *address, uint64_t now_us) {
    find(flood, address, now_us)->counts.silent++;
}

bool flood_report(struct flood *flood, const struct in6_addr *address, uint64_t now_us,
                  struct flood_counts *counts) {
    struct source *source = find(flood, address, now_us);
    bool due = !source->reported_us || now_us - source->reported_us >= MINUTE_US;
    if (!due || !(source->counts.refused || source->counts.silent))
        return false;
    *counts = source->counts;
    source->counts = (struct flood_counts){0};
    source->reported_us = now_us;
    return true;
}

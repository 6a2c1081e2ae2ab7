// SPDX-License-Identifier: Apache-2.0
#include "middleware/tries.h"

// FNV-1a.
static uint32_t hash(const char *text) {
    uint32_t h = 2166136261u;
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 16777619u;
    return h;
}

bool tries_count(struct tries *tries, const char *source, uint64_t now_ms) {
    uint32_t index = hash(source) % TRIES_SLOTS;
    if (!tries->slots[index].count || now_ms - tries->slots[index].since_ms >= TRIES_WINDOW_MS) {
        tries->slots[index].since_ms = now_ms;
        tries->slots[index].count = 0;
    }
    if (tries->slots[index].count <= TRIES_A_MINUTE)
        tries->slots[index].count++;
    return tries->slots[index].count <= TRIES_A_MINUTE;
}

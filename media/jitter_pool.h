// SPDX-License-Identifier: Apache-2.0
// Payloads of any length in a fixed arena: each is a chain of small chunks, so that 64 slots need not all be
// as large as the largest packet. One thread. Nothing allocates after jitter_pool_init.
#ifndef IQ_MEDIA_JITTER_POOL_H
#define IQ_MEDIA_JITTER_POOL_H

#include <stddef.h>
#include <stdint.h>

enum {
    JITTER_CHUNK_BYTES =
        160, // 20 ms of G.711, or an Opus packet of 64 kbit/s: one chunk is no copy to its reader
    JITTER_NO_CHUNK = UINT16_MAX,
};

struct jitter_pool {
    uint8_t *bytes; // owns
    uint16_t *next; // owns; a chunk's successor in its chain or in the free list
    uint16_t free_head;
    size_t free_count, count;
};

int jitter_pool_init(struct jitter_pool *pool, size_t bytes); // -EINVAL for a silly size, -ENOMEM
void jitter_pool_destroy(struct jitter_pool *pool);

// Chunks that a payload of `len` bytes takes; compare with free_count.
size_t jitter_pool_chunks(size_t len);
// Stores a payload and returns its chain, JITTER_NO_CHUNK for an empty one. The chunks must be free.
uint16_t jitter_pool_put(struct jitter_pool *pool, const uint8_t *payload, size_t len);
// The payload: where it lies, if that is one chunk, else copied into `scratch` (of `len` bytes). Good until the next put,
// released or not.
const uint8_t *jitter_pool_get(const struct jitter_pool *pool, uint16_t chain, uint8_t *scratch, size_t len);
void jitter_pool_release(struct jitter_pool *pool, uint16_t chain);

#endif

// SPDX-License-Identifier: Apache-2.0
#include "media/jitter_pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int jitter_pool_init(struct jitter_pool *pool, size_t bytes) {
    size_t count = jitter_pool_chunks(bytes);
    if (!count || count >= JITTER_NO_CHUNK)
        return -EINVAL;
    struct jitter_pool made = {.count = count, .free_count = count};
    made.bytes = malloc(count * JITTER_CHUNK_BYTES);
    made.next = malloc(count * sizeof *made.next);
    if (!made.bytes || !made.next) {
        jitter_pool_destroy(&made);
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++)
        made.next[i] = i + 1 < count ? (uint16_t)(i + 1) : JITTER_NO_CHUNK;
    *pool = made;
    return 0;
}

void jitter_pool_destroy(struct jitter_pool *pool) {
    free(pool->bytes);
    free(pool->next);
}

size_t jitter_pool_chunks(size_t len) {
    return (len + JITTER_CHUNK_BYTES - 1) / JITTER_CHUNK_BYTES;
}

uint16_t jitter_pool_put(struct jitter_pool *pool, const uint8_t *payload, size_t len) {
    uint16_t first = JITTER_NO_CHUNK;
    uint16_t *link = &first;
    while (len) {
        size_t part = len < JITTER_CHUNK_BYTES ? len : JITTER_CHUNK_BYTES;
        uint16_t chunk = pool->free_head;
        pool->free_head = pool->next[chunk];
        pool->free_count--;
        memcpy(pool->bytes + (size_t)chunk * JITTER_CHUNK_BYTES, payload, part);
        pool->next[chunk] = JITTER_NO_CHUNK;
        *link = chunk;
        link = &pool->next[chunk];
        payload += part;
        len -= part;
    }
    return first;
}

const uint8_t *jitter_pool_get(const struct jitter_pool *pool, uint16_t chain, uint8_t *scratch, size_t len) {
    uint8_t *out = scratch;
    if (len && len <= JITTER_CHUNK_BYTES)
        return pool->bytes + (size_t)chain * JITTER_CHUNK_BYTES;
    while (len) {
        size_t part = len < JITTER_CHUNK_BYTES ? len : JITTER_CHUNK_BYTES;
        memcpy(out, pool->bytes + (size_t)chain * JITTER_CHUNK_BYTES, part);
        chain = pool->next[chain];
        out += part;
        len -= part;
    }
    return scratch;
}

void jitter_pool_release(struct jitter_pool *pool, uint16_t chain) {
    while (chain != JITTER_NO_CHUNK) {
        uint16_t next = pool->next[chain];
        pool->next[chain] = pool->free_head;
        pool->free_head = chain;
        pool->free_count++;
        chain = next;
    }
}

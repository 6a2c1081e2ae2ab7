// SPDX-License-Identifier: Apache-2.0
// Objects by the SIP thread's handles: an intrusive hash table. One thread.
#ifndef IQ_GATEWAY_TRUNK_MAP_H
#define IQ_GATEWAY_TRUNK_MAP_H

#include <stddef.h>
#include <stdint.h>

enum { TRUNK_MAP_BUCKETS = 4096 };

// First member of what is kept.
struct trunk_key {
    uint64_t handle;
    struct trunk_key *next;
};

struct trunk_map {
    struct trunk_key *buckets[TRUNK_MAP_BUCKETS];
};

void trunk_map_put(struct trunk_map *map, struct trunk_key *key, uint64_t handle);
void *trunk_map_get(const struct trunk_map *map, uint64_t handle); // NULL when there is none
void trunk_map_take(struct trunk_map *map, struct trunk_key *key);
// `each` may take the object it is given.
void trunk_map_each(const struct trunk_map *map, void (*each)(void *object, void *arg), void *arg);

#endif

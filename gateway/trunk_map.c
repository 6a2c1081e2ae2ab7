// SPDX-License-Identifier: Apache-2.0
#include "gateway/trunk_map.h"

// Handles count slots in their low half, so neighbours fall into neighbouring buckets.
static size_t bucket_of(uint64_t handle) {
    return handle % TRUNK_MAP_BUCKETS;
}

void trunk_map_put(struct trunk_map *map, struct trunk_key *key, uint64_t handle) {
    struct trunk_key **bucket = &map->buckets[bucket_of(handle)];
    key->handle = handle;
    key->next = *bucket;
    *bucket = key;
}

void *trunk_map_get(const struct trunk_map *map, uint64_t handle) {
    struct trunk_key *key = map->buckets[bucket_of(handle)];
    while (key && key->handle != handle)
        key = key->next;
    return key;
}

void trunk_map_take(struct trunk_map *map, struct trunk_key *key) {
    struct trunk_key **at = &map->buckets[bucket_of(key->handle)];
    while (*at && *at != key)
        at = &(*at)->next;
    if (*at)
        *at = key->next;
}

void trunk_map_each(const struct trunk_map *map, void (*each)(void *object, void *arg), void *arg) {
    for (size_t i = 0; i < TRUNK_MAP_BUCKETS; i++) {
        struct trunk_key *key = map->buckets[i];
        while (key) {
            struct trunk_key *next = key->next;
            each(key, arg);
            key = next;
        }
    }
}

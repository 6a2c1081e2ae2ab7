// SPDX-License-Identifier: Apache-2.0
#include "middleware/hub_map.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

// FNV-1a with a random beginning, and a finish that lets every byte reach the low bits.
uint64_t hub_hash(uint64_t seed, const void *data, size_t len) {
    const uint8_t *bytes = data;
    uint64_t hash = seed ^ 0xcbf29ce484222325u;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3u;
    hash = (hash ^ seed ^ (hash >> 32)) * 0xd6e8feb86659fd93u;
    return hash ^ (hash >> 32);
}

static size_t bucket_of(const struct hub_map *map, const char *name) {
    return hub_hash(map->seed, name, strlen(name)) % HUB_MAP_BUCKETS;
}

int hub_map_init(struct hub_map *map) {
    memset(map, 0, sizeof *map);
    return getrandom(&map->seed, sizeof map->seed, 0) == (ssize_t)sizeof map->seed ? 0 : -EIO;
}

void *hub_map_get(const struct hub_map *map, const char *name) {
    struct hub_entry *entry = map->buckets[bucket_of(map, name)];
    while (entry && strcmp(entry->name, name) != 0)
        entry = entry->next;
    return entry;
}

void hub_map_put(struct hub_map *map, struct hub_entry *entry) {
    struct hub_entry **bucket = &map->buckets[bucket_of(map, entry->name)];
    entry->next = *bucket;
    *bucket = entry;
}

void hub_map_remove(struct hub_map *map, struct hub_entry *entry) {
    struct hub_entry **at = &map->buckets[bucket_of(map, entry->name)];
    while (*at && *at != entry)
        at = &(*at)->next;
    if (*at)
        *at = entry->next;
}

void hub_map_each(struct hub_map *map, void (*each)(void *object, void *arg), void *arg) {
    for (size_t i = 0; i < HUB_MAP_BUCKETS; i++)
        for (struct hub_entry *entry = map->buckets[i], *next; entry; entry = next) {
            next = entry->next;
            each(entry, arg);
        }
}

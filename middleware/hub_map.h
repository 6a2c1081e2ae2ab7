// SPDX-License-Identifier: Apache-2.0
// Objects by name: a table of fixed size into which objects are hung by a member of theirs. Its owner bounds
// how many. One thread.
#ifndef IQ_MIDDLEWARE_HUB_MAP_H
#define IQ_MIDDLEWARE_HUB_MAP_H

#include <stddef.h>
#include <stdint.h>

enum { HUB_MAP_BUCKETS = 2048 };

// First member of the object.
struct hub_entry {
    struct hub_entry *next; // in its bucket
    const char *name;       // borrowed from the object
};

struct hub_map {
    uint64_t seed; // random, so that nobody can fill one bucket on purpose
    struct hub_entry *buckets[HUB_MAP_BUCKETS];
};

uint64_t hub_hash(uint64_t seed, const void *data, size_t len);

int hub_map_init(struct hub_map *map); // -EIO: no randomness
void *hub_map_get(const struct hub_map *map, const char *name);
void hub_map_put(struct hub_map *map, struct hub_entry *entry); // its name is not there yet
void hub_map_remove(struct hub_map *map, struct hub_entry *entry);

// Calls `each` for every object; it may remove the one it is given.
void hub_map_each(struct hub_map *map, void (*each)(void *object, void *arg), void *arg);

#endif

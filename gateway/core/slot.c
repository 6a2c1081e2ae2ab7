// SPDX-License-Identifier: Apache-2.0
#include "gateway/core/slot.h"

#include "gateway/core/err.h"

#include <stdlib.h>

struct slot {
    void *object;        // NULL while free
    uint32_t generation; // raised at each put, never 0 in a handle
    uint32_t next_free;
};

struct slot_table {
    uint32_t capacity;
    uint32_t count;
    uint32_t first_free; // capacity when none
    struct slot slots[];
};

int slot_table_new(struct slot_table **out, uint32_t capacity) {
    struct slot_table *table = calloc(1, sizeof *table + capacity * sizeof table->slots[0]);
    if (!table)
        return -ENOMEM;
    table->capacity = capacity;
    for (uint32_t i = 0; i < capacity; i++)
        table->slots[i].next_free = i + 1;
    *out = table;
    return 0;
}

void slot_table_free(struct slot_table *table) {
    free(table);
}

int slot_put(struct slot_table *table, void *object, uint64_t *handle) {
    if (table->first_free == table->capacity)
        return -ENOSPC;
    uint32_t index = table->first_free;
    struct slot *slot = &table->slots[index];
    table->first_free = slot->next_free;
    slot->object = object;
    if (++slot->generation == 0)
        slot->generation = 1;
    table->count++;
    *handle = (uint64_t)slot->generation << 32 | index;
    return 0;
}

static struct slot *slot_find(const struct slot_table *table, uint64_t handle) {
    uint32_t index = (uint32_t)handle;
    if (index >= table->capacity)
        return NULL;
    const struct slot *slot = &table->slots[index];
    if (!slot->object || slot->generation != (uint32_t)(handle >> 32))
        return NULL;
    return (struct slot *)slot;
}

void *slot_get(const struct slot_table *table, uint64_t handle) {
    struct slot *slot = slot_find(table, handle);
    return slot ? slot->object : NULL;
}

void *slot_take(struct slot_table *table, uint64_t handle) {
    struct slot *slot = slot_find(table, handle);
    if (!slot)
        return NULL;
    void *object = slot->object;
    slot->object = NULL;
    slot->next_free = table->first_free;
    table->first_free = (uint32_t)handle;
    table->count--;
    return object;
}

uint32_t slot_count(const struct slot_table *table) {
    return table->count;
}

void slot_each(struct slot_table *table, void (*each)(uint64_t, void *, void *), void *arg) {
    for (uint32_t i = 0; i < table->capacity; i++) {
        struct slot *slot = &table->slots[i];
        if (slot->object)
            each((uint64_t)slot->generation << 32 | i, slot->object, arg);
    }
}

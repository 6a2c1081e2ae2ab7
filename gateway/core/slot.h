// SPDX-License-Identifier: Apache-2.0
// Generation-checked handles: a handle names a slot and the generation in which it was filled, so a handle
// kept by a late message or another thread finds nothing after its object is gone, instead of freed memory.
// One thread owns a table; handles themselves are plain numbers and may travel anywhere. 0 is never a valid
// handle.
#ifndef IQ_CORE_SLOT_H
#define IQ_CORE_SLOT_H

#include <stddef.h>
#include <stdint.h>

struct slot_table;

// Room for `capacity` objects, all reserved at once. -ENOMEM.
int slot_table_new(struct slot_table **out, uint32_t capacity);
void slot_table_free(struct slot_table *table); // borrows its objects, so it frees none of them

// Puts `object` (not NULL) into a free slot. -ENOSPC when all are taken.
int slot_put(struct slot_table *table, void *object, uint64_t *handle);
void *slot_get(const struct slot_table *table, uint64_t handle); // NULL when it is gone
void *slot_take(struct slot_table *table, uint64_t handle); // removes and returns it; NULL when it is gone
uint32_t slot_count(const struct slot_table *table);

// Calls `each` for every object; `each` may take the object it is given.
void slot_each(struct slot_table *table, void (*each)(uint64_t handle, void *object, void *arg), void *arg);

#endif

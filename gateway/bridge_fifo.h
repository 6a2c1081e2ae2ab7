// SPDX-License-Identifier: Apache-2.0
// A byte queue in blocks: short queues live in a few blocks that stay, bursts borrow more from the heap and
// give them back.
#ifndef IQ_GATEWAY_BRIDGE_FIFO_H
#define IQ_GATEWAY_BRIDGE_FIFO_H

#include <stddef.h>
#include <stdint.h>

struct fifo_block;

// Zeroed = empty.
struct fifo {
    struct fifo_block *head, *tail; // owns; read from head, written at tail
    struct fifo_block *spare;       // owns; emptied blocks kept
    size_t spare_count, spare_most;
    size_t read_at, write_at; // in head, in tail
    size_t len;               // bytes queued
};

// How many bytes come at once as a rule: what they need is kept when they have been taken. Until told, nothing is.
void fifo_expect(struct fifo *fifo, size_t at_once);
int fifo_put(struct fifo *fifo, const uint8_t *data, size_t len); // all or nothing: -ENOMEM
size_t fifo_take(struct fifo *fifo, uint8_t *out, size_t len); // the bytes taken, fewer when there are fewer
void fifo_free(struct fifo *fifo);                             // leaves it empty

#endif

// SPDX-License-Identifier: Apache-2.0
#include "gateway/bridge_fifo.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// Large blocks are for a queue that is long already, and lie outside the heap (gateway/main.c): speech that came in one
// burst leaves nothing behind once it is played. Small ones are kept, so that a short queue never allocates: as many as
// what comes at once takes, each time, and one that is written meanwhile.
enum { SMALL_BYTES = 2032, LARGE_BYTES = 65000, LONG_BYTES = 6 * SMALL_BYTES };

struct fifo_block {
    struct fifo_block *next;
    size_t size;
    uint8_t data[];
};

void fifo_expect(struct fifo *fifo, size_t at_once) {
    fifo->spare_most = (at_once + SMALL_BYTES - 1) / SMALL_BYTES + 1;
}

// So many blocks that `len` more bytes fit, before any byte is moved.
static int spare_for(struct fifo *fifo, size_t len) {
    size_t room = fifo->tail ? fifo->tail->size - fifo->write_at : 0;
    for (const struct fifo_block *block = fifo->spare; block; block = block->next)
        room += block->size;
    while (room < len) {
        size_t size = fifo->len + room < LONG_BYTES ? SMALL_BYTES : LARGE_BYTES;
        struct fifo_block *block = malloc(sizeof *block + size);
        if (!block)
            return -ENOMEM;
        block->size = size;
        block->next = fifo->spare;
        fifo->spare = block;
        fifo->spare_count++;
        room += size;
    }
    return 0;
}

static void append_block(struct fifo *fifo) {
    struct fifo_block *block = fifo->spare;
    fifo->spare = block->next;
    fifo->spare_count--;
    block->next = NULL;
    if (fifo->tail)
        fifo->tail->next = block;
    else
        fifo->head = block;
    fifo->tail = block;
    fifo->write_at = 0;
}

int fifo_put(struct fifo *fifo, const uint8_t *data, size_t len) {
    int err = spare_for(fifo, len);
    if (err)
        return err;
    while (len) {
        if (!fifo->tail || fifo->write_at == fifo->tail->size)
            append_block(fifo);
        size_t left = fifo->tail->size - fifo->write_at;
        size_t n = left < len ? left : len;
        memcpy(fifo->tail->data + fifo->write_at, data, n);
        fifo->write_at += n;
        fifo->len += n;
        data += n;
        len -= n;
    }
    return 0;
}

static void retire_head(struct fifo *fifo) {
    struct fifo_block *block = fifo->head;
    fifo->head = block->next;
    if (!fifo->head)
        fifo->tail = NULL;
    fifo->read_at = 0;
    if (block->size == LARGE_BYTES || fifo->spare_count >= fifo->spare_most) {
        free(block);
        return;
    }
    block->next = fifo->spare;
    fifo->spare = block;
    fifo->spare_count++;
}

size_t fifo_take(struct fifo *fifo, uint8_t *out, size_t len) {
    if (len > fifo->len)
        len = fifo->len;
    size_t done = 0;
    while (done < len && fifo->head) {
        size_t end = fifo->head == fifo->tail ? fifo->write_at : fifo->head->size;
        size_t n = end - fifo->read_at < len - done ? end - fifo->read_at : len - done;
        memcpy(out + done, fifo->head->data + fifo->read_at, n);
        fifo->read_at += n;
        fifo->len -= n;
        done += n;
        if (fifo->read_at == fifo->head->size || !fifo->len)
            retire_head(fifo);
    }
    return done;
}

static void free_list(struct fifo_block *block) {
    while (block) {
        struct fifo_block *next = block->next;
        free(block);
        block = next;
    }
}

void fifo_free(struct fifo *fifo) {
    free_list(fifo->head);
    free_list(fifo->spare);
    *fifo = (struct fifo){.spare_most = fifo->spare_most};
}

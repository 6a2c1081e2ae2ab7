// SPDX-License-Identifier: Apache-2.0
#include "gateway/bridge_fifo.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 2032, SPARE_MAX = 3 }; // three: 60 ms of the largest PCM may come at once, each time

struct fifo_block {
    struct fifo_block *next;
    uint8_t data[BLOCK_BYTES];
};

// So many blocks that `len` more bytes fit, before any byte is moved.
static int spare_for(struct fifo *fifo, size_t len) {
    size_t left = fifo->tail ? BLOCK_BYTES - fifo->write_at : 0;
    size_t need = len > left ? (len - left + BLOCK_BYTES - 1) / BLOCK_BYTES : 0;
    while (fifo->spare_count < need) {
        struct fifo_block *block = malloc(sizeof *block);
        if (!block)
            return -ENOMEM;
        block->next = fifo->spare;
        fifo->spare = block;
        fifo->spare_count++;
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
        if (!fifo->tail || fifo->write_at == BLOCK_BYTES)
            append_block(fifo);
        size_t n = BLOCK_BYTES - fifo->write_at < len ? BLOCK_BYTES - fifo->write_at : len;
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
    if (fifo->spare_count >= SPARE_MAX) {
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
        size_t end = fifo->head == fifo->tail ? fifo->write_at : BLOCK_BYTES;
        size_t n = end - fifo->read_at < len - done ? end - fifo->read_at : len - done;
        memcpy(out + done, fifo->head->data + fifo->read_at, n);
        fifo->read_at += n;
        fifo->len -= n;
        done += n;
        if (fifo->read_at == BLOCK_BYTES || !fifo->len)
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
    *fifo = (struct fifo){0};
}

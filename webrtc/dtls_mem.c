// SPDX-License-Identifier: Apache-2.0
#include "webrtc/dtls_mem.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

// Addresses, not memory: 192 MB. Connections beyond that have plain blocks.
enum { LEAST = 16384, PLACE_BYTES = 24576, PLACES = 8192 };

static uint8_t *area; // PLACES of PLACE_BYTES, whole pages each; for the life of the process
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
// Under the lock:
static uint32_t generations[PLACES]; // odd while it is taken
static uint32_t next_free[PLACES], first_free,
    used; // places are counted from 1; those beyond `used` were never taken

static _Thread_local struct dtls_mem *watcher;

static uint8_t *place_bytes(uint32_t place) {
    return area + (size_t)(place - 1) * PLACE_BYTES;
}

static uint32_t place_of(const void *block) {
    const uint8_t *byte = block;
    if (!area || byte < area || byte >= area + (size_t)PLACES * PLACE_BYTES)
        return 0;
    return (uint32_t)((size_t)(byte - area) / PLACE_BYTES) + 1;
}

static void *place_take(struct dtls_mem *mem) {
    pthread_mutex_lock(&lock);
    uint32_t place = first_free;
    if (place)
        first_free = next_free[place - 1];
    else if (used < PLACES)
        place = ++used;
    if (place)
        *mem = (struct dtls_mem){.place = place, .generation = ++generations[place - 1]};
    pthread_mutex_unlock(&lock);
    return place ? place_bytes(place) : NULL;
}

static void place_give(uint32_t place) {
    madvise(place_bytes(place), PLACE_BYTES, MADV_DONTNEED);
    pthread_mutex_lock(&lock);
    generations[place - 1]++;
    next_free[place - 1] = first_free;
    first_free = place;
    pthread_mutex_unlock(&lock);
}

// As OpenSSL's own: none for nothing.
static void *on_malloc(size_t len, const char *file, int line) {
    (void)file;
    (void)line;
    if (!len)
        return NULL;
    bool wanted = watcher && !watcher->place && len >= LEAST && len <= PLACE_BYTES;
    void *block = wanted ? place_take(watcher) : NULL;
    return block ? block : malloc(len);
}

static void on_free(void *block, const char *file, int line) {
    (void)file;
    (void)line;
    uint32_t place = place_of(block);
    if (place)
        place_give(place);
    else
        free(block);
}

static void *on_realloc(void *block, size_t len, const char *file, int line) {
    if (!block)
        return on_malloc(len, file, line);
    if (!len) {
        on_free(block, file, line);
        return NULL;
    }
    uint32_t place = place_of(block);
    if (!place)
        return realloc(block, len);
    if (len <= PLACE_BYTES)
        return block;
    void *moved = malloc(len);
    if (!moved)
        return NULL;
    memcpy(moved, block, PLACE_BYTES);
    place_give(place);
    return moved;
}

int dtls_mem_install(void) {
    if (area)
        return -EBUSY;
    void *made = mmap(NULL, (size_t)PLACES * PLACE_BYTES, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (made == MAP_FAILED)
        return -ENOMEM;
    if (CRYPTO_set_mem_functions(on_malloc, on_realloc, on_free) != 1) {
        munmap(made, (size_t)PLACES * PLACE_BYTES);
        return -EBUSY;
    }
    area = made;
    return 0;
}

void dtls_mem_watch(struct dtls_mem *mem) {
    watcher = area ? mem : NULL;
}

void dtls_mem_discard(const struct dtls_mem *mem) {
    if (!mem->place)
        return;
    pthread_mutex_lock(&lock);
    if (generations[mem->place - 1] == mem->generation)
        madvise(place_bytes(mem->place), PLACE_BYTES, MADV_DONTNEED);
    pthread_mutex_unlock(&lock);
}

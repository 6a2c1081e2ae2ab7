// SPDX-License-Identifier: Apache-2.0
// Counts the allocations of a thread while it says `counting`. One source file of a test includes this, and
// calls count_set_up first.
#ifndef IQ_TESTS_COUNT_ALLOCATIONS_H
#define IQ_TESTS_COUNT_ALLOCATIONS_H

#include <stdbool.h>
#include <stddef.h>

// Volatile, because compilers believe that malloc looks at no variable of ours.
static _Thread_local volatile bool counting;
static _Thread_local volatile size_t allocations;

#if defined(__has_feature)
#define HAS_FEATURE(name) __has_feature(name)
#else
#define HAS_FEATURE(name) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || HAS_FEATURE(address_sanitizer) ||       \
    HAS_FEATURE(thread_sanitizer)
// Of sanitizer/allocator_interface.h, which not every compiler brings along.
int __sanitizer_install_malloc_and_free_hooks(void (*malloc_hook)(const volatile void *, size_t),
                                              void (*free_hook)(const volatile void *));

static void on_malloc(const volatile void *ptr, size_t size) {
    (void)ptr;
    (void)size;
    allocations = allocations + counting;
}

static void on_free(const volatile void *ptr) {
    (void)ptr;
}

static void count_set_up(void) {
    __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
}
#else
// The C library's own, under the names it keeps for this.
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *ptr, size_t size);

void *malloc(size_t size) {
    allocations = allocations + counting;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    allocations = allocations + counting;
    return __libc_calloc(count, size);
}

void *realloc(void *ptr, size_t size) {
    allocations = allocations + counting;
    return __libc_realloc(ptr, size);
}

static void count_set_up(void) {
}
#endif

#endif

// SPDX-License-Identifier: Apache-2.0
// Counts the allocations of a thread while it says `counting`, and the bytes it holds of them. One source file of a
// test includes this, and calls count_set_up first.
#ifndef IQ_TESTS_COUNT_ALLOCATIONS_H
#define IQ_TESTS_COUNT_ALLOCATIONS_H

#include <malloc.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Volatile, because compilers believe that malloc looks at no variable of ours.
static _Thread_local volatile bool counting;
static _Thread_local volatile size_t allocations;
static _Thread_local volatile ptrdiff_t held; // bytes, as the heap rounds them: allocated less freed

static void count_in(void *ptr) {
    if (!counting || !ptr)
        return;
    allocations = allocations + 1;
    held = held + (ptrdiff_t)malloc_usable_size(ptr);
}

static void count_out(void *ptr) {
    if (counting && ptr)
        held = held - (ptrdiff_t)malloc_usable_size(ptr);
}

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
    (void)size;
    count_in((void *)(uintptr_t)ptr);
}

static void on_free(const volatile void *ptr) {
    count_out((void *)(uintptr_t)ptr);
}

static void count_set_up(void) {
    __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
}
#else
// The C library's own, under the names it keeps for this.
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *ptr, size_t size);
void __libc_free(void *ptr);

void *malloc(size_t size) {
    void *made = __libc_malloc(size);
    count_in(made);
    return made;
}

void *calloc(size_t count, size_t size) {
    void *made = __libc_calloc(count, size);
    count_in(made);
    return made;
}

void *realloc(void *ptr, size_t size) {
    count_out(ptr);
    void *made = __libc_realloc(ptr, size);
    count_in(made);
    return made;
}

void free(void *ptr) {
    count_out(ptr);
    __libc_free(ptr);
}

static void count_set_up(void) {
}
#endif

#endif

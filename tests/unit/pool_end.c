// SPDX-License-Identifier: Apache-2.0
// Linked into what runs under ThreadSanitizer. libuv joins its thread pool when it is unloaded; with libsofia-sip in
// the program that is after ThreadSanitizer has stopped noticing that threads end, and the join never returns.
#include <uv.h>

__attribute__((destructor)) static void pool_end(void) {
    uv_library_shutdown();
}

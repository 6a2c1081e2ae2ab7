// SPDX-License-Identifier: Apache-2.0
// OpenSSL keeps its buffer for handshake messages for as long as a DTLS connection lives: 22 kB, of no use once the
// handshake is over but for a retransmission, which fills it anew. Here the memory behind it goes back to the system
// meanwhile; the buffer stays where it is, and pages come back, zeroed, when they are touched
// (docs/decisions/0009-handshake-memory.md).
#ifndef IQ_WEBRTC_DTLS_MEM_H
#define IQ_WEBRTC_DTLS_MEM_H

#include <stddef.h>
#include <stdint.h>

// A block that was noted. Zeroed: none.
struct dtls_mem {
    uint32_t place; // 1 and up
    uint32_t generation;
};

// First thing in main, before OpenSSL allocates. -EBUSY when it has, -ENOMEM without room for so many addresses: then
// nothing is ever noted, and all else works as before.
int dtls_mem_install(void);

// From here to dtls_mem_watch(NULL) the first block of 16 kB or more that OpenSSL takes on this thread is noted in `mem`.
void dtls_mem_watch(struct dtls_mem *mem);

// What is in the block is not needed any more. Nothing happens when OpenSSL has freed or moved it.
void dtls_mem_discard(const struct dtls_mem *mem);

#endif

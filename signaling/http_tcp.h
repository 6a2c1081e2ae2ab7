// SPDX-License-Identifier: Apache-2.0
// What the kernel knows about a TCP connection. In a file of its own, because the kernel's header for it and
// the C library's, which other headers include, cannot be used together.
#ifndef IQ_SIGNALING_HTTP_TCP_H
#define IQ_SIGNALING_HTTP_TCP_H

#include <stdbool.h>
#include <stdint.h>

uint64_t
http_tcp_bytes_read(int fd); // what has been read from the socket; an end of the stream may count as one more
bool http_tcp_peer_left(int fd); // has closed or reset the connection, or its sending side of it

#endif

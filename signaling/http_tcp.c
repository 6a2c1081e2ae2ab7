// SPDX-License-Identifier: Apache-2.0
#include "signaling/http_tcp.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

uint64_t http_tcp_bytes_read(int fd) {
    struct tcp_info info = {0};
    socklen_t len = sizeof info;
    int waiting = 0;
    getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len);
    ioctl(fd, FIONREAD, &waiting);
    return (uint64_t)info.tcpi_bytes_received - (unsigned)waiting;
}

// By the state: behind TLS, bytes may still wait in front of the end of the stream.
bool http_tcp_peer_left(int fd) {
    enum { ESTABLISHED = 1 }; // tcp_states.h, which is the kernel's own
    struct tcp_info info = {0};
    socklen_t len = sizeof info;
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && info.tcpi_state != ESTABLISHED;
}

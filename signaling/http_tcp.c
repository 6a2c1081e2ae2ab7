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

// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/desk/run.h"

#include <stdio.h>
#include <string.h>

static struct peer peers[CONNECTIONS_MAX];

static void on_request(struct peer *peer, const struct message *message) {
    static const char none[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    static uint64_t sessions;
    char body[256], text[512];
    if (strncmp(message->head, "POST ", 5) != 0 || !strstr(message->head, "/websession/initiate ")) {
        peer_send(peer, none, sizeof none - 1);
        return;
    }
    unsigned long long number = ++sessions;
    int body_len = snprintf(body, sizeof body,
                            "{\"success\":true,\"message\":\"\",\"code\":\"\",\"data\":{"
                            "\"conversationSessionId\":\"ses_bench_%llu\","
                            "\"sessionWebSocketURL\":\"wss://platform.example/ws/ses_bench_%llu\"}}",
                            number, number);
    int len = snprintf(
        text, sizeof text,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: %d\r\n\r\n%s",
        body_len, body);
    peer_send(peer, text, (size_t)len);
}

int platform_start(unsigned port) {
    return peer_listen(peers, CONNECTIONS_MAX, port, on_request, NULL);
}

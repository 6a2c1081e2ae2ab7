// SPDX-License-Identifier: Apache-2.0
//
//   one has the only slot; all others wait at the hub
//   again and again: webhook for the one who has it -> SessionReady for the next -> he has it; a new one waits
#include "tests/bench/desk/run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES = 1024, ID_SIZE = 64, PATIENCE_S = 20, PING_US = 10000000 };

// A client at the hub.
struct waiter {
    struct peer peer;
    struct ready *ready;
    bool connected, registered;
    char id[ID_SIZE];
    int64_t pinged_us;
};

struct ready {
    const struct options *options;
    struct peer http;
    struct waiter *waiters;
    bool answered;
    unsigned status;
    uint32_t address;                           // of the last request
    char id[ID_SIZE], session[SESSION_ID_SIZE]; // of the last answer; of who has the slot
    struct waiter *served;
    int64_t served_us;
};

// ---- plain HTTP, one at a time

static void on_http(struct peer *peer, const struct message *message) {
    struct ready *ready = peer->arg;
    ready->answered = true;
    ready->status = status_of(message);
    if (ready->status == 200)
        session_of(message, ready->session);
    if (ready->status == 202)
        text_field(message->body, "uniqueRequestId", ready->id, sizeof ready->id);
}

static bool is_answered(void *arg) {
    return ((struct ready *)arg)->answered;
}

static int ask(struct ready *ready, unsigned wanted) {
    char text[TEXT_BYTES];
    int len = request_text(text, sizeof text, ++ready->address);
    ready->answered = false;
    peer_send(&ready->http, text, (size_t)len);
    if (peers_turn(is_answered, ready, PATIENCE_S) && ready->status == wanted)
        return 0;
    fprintf(stderr, "desk: a request was answered %u instead of %u\n", ready->status, wanted);
    return -EPROTO;
}

// ---- the hub

static void on_record(struct waiter *waiter, const char *record) {
    if (strstr(record, "\"type\":3"))
        waiter->registered = !strstr(record, "\"error\"");
    if (!strstr(record, "\"SessionReady\""))
        return;
    waiter->ready->served = waiter;
    waiter->ready->served_us = now_us();
    session_of(&(struct message){.body = record}, waiter->ready->session);
}

static void on_hub(struct peer *peer, const struct message *message) {
    struct waiter *waiter = peer->arg;
    if (peer->websocket) {
        on_record(waiter, message->body);
    } else if (status_of(message) == 101) {
        peer->websocket = waiter->connected = true;
    }
}

static bool is_connected(void *arg) {
    return ((struct waiter *)arg)->connected;
}

static bool is_registered(void *arg) {
    return ((struct waiter *)arg)->registered;
}

static int waiter_begin(struct waiter *waiter) {
    char text[TEXT_BYTES];
    struct ready *ready = waiter->ready;
    int err = ask(ready, 202);
    snprintf(waiter->id, sizeof waiter->id, "%s", ready->id);
    waiter->connected = waiter->registered = false;
    waiter->peer = (struct peer){.fd = -1, .on_message = on_hub, .arg = waiter};
    if (!err)
        err = peer_connect(&waiter->peer, ready->options->port);
    if (err)
        return err;
    // Registrations are limited by address.
    int len =
        snprintf(text, sizeof text,
                 "GET /sessionHub HTTP/1.1\r\nHost: gateway.example\r\nUpgrade: websocket\r\n"
                 "Connection: Upgrade\r\nOrigin: https://shop.example\r\nX-Forwarded-For: 10.%u.%u.%u\r\n"
                 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
                 ready->address >> 16 & 255, ready->address >> 8 & 255, ready->address & 255);
    peer_send(&waiter->peer, text, (size_t)len);
    if (!peers_turn(is_connected, waiter, PATIENCE_S))
        return -ETIMEDOUT;
    snprintf(text, sizeof text,
             "{\"protocol\":\"json\",\"version\":1}\x1e"
             "{\"type\":1,\"invocationId\":\"1\",\"target\":\"Register\",\"arguments\":[\"%s\"]}\x1e",
             waiter->id);
    peer_send_frame(&waiter->peer, text);
    waiter->pinged_us = now_us();
    return peers_turn(is_registered, waiter, PATIENCE_S) ? 0 : -ETIMEDOUT;
}

static void ping_all(struct ready *ready) {
    for (unsigned i = 0; i < ready->options->connections; i++) {
        struct waiter *waiter = &ready->waiters[i];
        if (now_us() - waiter->pinged_us < PING_US)
            continue;
        waiter->pinged_us = now_us();
        peer_send_frame(&waiter->peer, "{\"type\":6}\x1e");
    }
}

static bool is_served(void *arg) {
    const struct ready *ready = arg;
    return ready->answered && ready->served;
}

static int serve_one(struct ready *ready, struct tally *tally) {
    char text[TEXT_BYTES];
    int len = webhook_text(text, sizeof text, ready->options->token, ready->session);
    ready->served = NULL;
    ready->answered = false;
    int64_t sent_us = now_us();
    peer_send(&ready->http, text, (size_t)len);
    if (!peers_turn(is_served, ready, PATIENCE_S)) {
        fprintf(stderr, "desk: the webhook was answered %u, and nobody was served\n", ready->status);
        return -ETIMEDOUT;
    }
    histogram_add(&tally->took, ready->served_us - sent_us);
    tally->done++;
    peer_close(&ready->served->peer);
    return waiter_begin(ready->served);
}

static int serve(struct ready *ready, struct tally *tally) {
    const struct options *options = ready->options;
    int err = ask(ready, 200);
    for (unsigned i = 0; i < options->connections && !err; i++) {
        ready->waiters[i].ready = ready;
        err = waiter_begin(&ready->waiters[i]);
    }
    int64_t until_us = now_us() + (int64_t)options->seconds * 1000000, began_us = now_us();
    while (!err && now_us() < until_us) {
        err = serve_one(ready, tally);
        ping_all(ready);
    }
    tally->seconds = (double)(now_us() - began_us) / 1e6;
    return err;
}

int ready_run(const struct options *options, struct tally *tally) {
    struct ready ready = {.options = options};
    tally->label = "ready";
    ready.http = (struct peer){.fd = -1, .on_message = on_http, .arg = &ready};
    ready.waiters = calloc(options->connections, sizeof *ready.waiters);
    int err = ready.waiters ? peer_connect(&ready.http, options->port) : -ENOMEM;
    if (!err)
        err = serve(&ready, tally);
    for (unsigned i = 0; ready.waiters && i < options->connections; i++) {
        if (ready.waiters[i].ready)
            peer_close(&ready.waiters[i].peer);
    }
    peer_close(&ready.http);
    free(ready.waiters);
    return err ? err : 1;
}

// SPDX-License-Identifier: Apache-2.0
// INVITE -> 302 -> ACK as fast as the server answers, over UDP: so many are open at any time, each answer begins
// the next one. What a redirect costs the server, how many there are in a second, how long each took, and how many
// had to be sent again.
#include "tests/bench/common/histogram.h"
#include "tests/bench/common/meter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    MESSAGE = 2048,
    WINDOW_MAX = 4096,
    T1_US = 500000,
    RECEIVE_BYTES = 4 * 1024 * 1024,
    SWEEP_US = 100000,
    WARM_US = 6000000 // longer than servers keep what is over: T4
};

struct open_call {
    uint32_t serial; // 0 = free
    int64_t began_us, sent_us;
    unsigned resends;
};

static struct {
    struct sockaddr_in to;
    char host[64];
    unsigned port, window, seconds;
    const char *user, *parameters, *label;
    pid_t pid;
    bool json;
    int fd;
    uint16_t own_port;
    struct open_call calls[WINDOW_MAX];
    struct histogram took;
    uint64_t done, others, resent;
    char first_other[128];
} run = {.port = 5060, .window = 64, .seconds = 10, .user = "+100", .parameters = "", .label = ""};

static int64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void send_text(const char *text, int len) {
    sendto(run.fd, text, (size_t)len, 0, (struct sockaddr *)&run.to, sizeof run.to);
}

static void invite(const struct open_call *call) {
    static const char sdp[] = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
                              "m=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\n";
    char text[MESSAGE];
    int len =
        snprintf(text, sizeof text,
                 "INVITE sip:%s@%s:%u%s SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:%u;branch=z9hG4bK%u;rport\r\n"
                 "Max-Forwards: 70\r\nFrom: <sip:+4915112345678@127.0.0.1>;tag=f%u\r\n"
                 "To: <sip:%s@%s>\r\nCall-ID: r%d-%u\r\nCSeq: 1 INVITE\r\n"
                 "Contact: <sip:bench@127.0.0.1:%u>\r\nContent-Type: application/sdp\r\n"
                 "Content-Length: %zu\r\n\r\n%s",
                 run.user, run.host, run.port, run.parameters, run.own_port, call->serial, call->serial,
                 run.user, run.host, (int)getpid(), call->serial, run.own_port, sizeof sdp - 1, sdp);
    send_text(text, len);
}

static void acknowledge(uint32_t serial, const char *to, int to_len) {
    char text[MESSAGE];
    int len =
        snprintf(text, sizeof text,
                 "ACK sip:%s@%s:%u%s SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:%u;branch=z9hG4bK%u;rport\r\n"
                 "Max-Forwards: 70\r\nFrom: <sip:+4915112345678@127.0.0.1>;tag=f%u\r\nTo: %.*s\r\n"
                 "Call-ID: r%d-%u\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n",
                 run.user, run.host, run.port, run.parameters, run.own_port, serial, serial, to_len, to,
                 (int)getpid(), serial);
    send_text(text, len);
}

// A place among the open calls has serials of its own: its number plus multiples of the window.
static void begin(struct open_call *call, uint32_t serial) {
    call->serial = serial;
    call->began_us = call->sent_us = now_us();
    call->resends = 0;
    invite(call);
}

static struct open_call *call_of(uint32_t serial) {
    struct open_call *call = &run.calls[serial % run.window];
    return call->serial == serial ? call : NULL;
}

static void on_answer(const char *text, bool more) {
    char prefix[32];
    unsigned status = (unsigned)strtoul(text + 8, NULL, 10);
    int prefix_len = snprintf(prefix, sizeof prefix, "\r\nCall-ID: r%d-", (int)getpid());
    const char *id = strcasestr(text, prefix), *to = strcasestr(text, "\r\nTo: ");
    if (status < 200 || !id || !to)
        return;
    uint32_t serial = (uint32_t)strtoul(id + prefix_len, NULL, 10);
    struct open_call *call = call_of(serial);
    acknowledge(serial, to + 6, (int)strcspn(to + 6, "\r"));
    if (!call)
        return;
    if (status == 302) {
        run.done++;
        histogram_add(&run.took, now_us() - call->began_us);
    } else if (!run.others++) {
        snprintf(run.first_other, sizeof run.first_other, "%.*s", (int)strcspn(text, "\r"), text);
    }
    call->serial = 0;
    if (more)
        begin(call, serial + run.window);
}

static void receive_all(bool more) {
    char text[MESSAGE];
    ssize_t len;
    while ((len = recv(run.fd, text, sizeof text - 1, 0)) > 0) {
        text[len] = '\0';
        if (strncmp(text, "SIP/2.0 ", 8) == 0)
            on_answer(text, more);
    }
}

static void send_again(void) {
    int64_t now = now_us();
    for (unsigned i = 0; i < run.window; i++) {
        struct open_call *call = &run.calls[i];
        if (!call->serial || now - call->sent_us < (int64_t)T1_US << call->resends)
            continue;
        call->sent_us = now;
        call->resends += call->resends < 3;
        run.resent++;
        invite(call);
    }
}

static void turn_until(int64_t until_us, bool more) {
    int64_t swept_us = now_us();
    for (int64_t now = swept_us; now < until_us; now = now_us()) {
        struct pollfd wait = {.fd = run.fd, .events = POLLIN};
        poll(&wait, 1, 20);
        receive_all(more);
        if (now - swept_us > SWEEP_US) {
            send_again();
            swept_us = now;
        }
    }
}

static void report(const struct meter *before, const struct meter *after, double seconds) {
    double cpu = after->cpu_s - before->cpu_s, each_us = run.done ? cpu * 1e6 / (double)run.done : 0;
    if (run.json) {
        printf(
            "{\"label\":\"%s\",\"perSecond\":%.0f,\"cpuUs\":%.2f,\"cpu\":%.3f,\"p50Ms\":%.3f,\"p99Ms\":%.3f,"
            "\"resent\":%llu,\"others\":%llu,\"rssKb\":%llu}\n",
            run.label, (double)run.done / seconds, each_us, cpu / seconds, histogram_ms(&run.took, 0.5),
            histogram_ms(&run.took, 0.99), (unsigned long long)run.resent, (unsigned long long)run.others,
            (unsigned long long)after->rss_kb);
        return;
    }
    printf("%s%s%.0f redirects a second, %.1f us of CPU each (%.0f %% of a core); p50 %.2f ms, p99 %.2f ms; "
           "%llu sent "
           "again, %llu answered otherwise%s%s\n",
           run.label, *run.label ? ": " : "", (double)run.done / seconds, each_us, 100 * cpu / seconds,
           histogram_ms(&run.took, 0.5), histogram_ms(&run.took, 0.99), (unsigned long long)run.resent,
           (unsigned long long)run.others, run.others ? ", first: " : "", run.first_other);
}

static int read_options(int argc, char **argv) {
    static const struct option known[] = {{"sip", required_argument, NULL, 's'},
                                          {"window", required_argument, NULL, 'w'},
                                          {"seconds", required_argument, NULL, 't'},
                                          {"dial", required_argument, NULL, 'd'},
                                          {"uri", required_argument, NULL, 'u'},
                                          {"pid", required_argument, NULL, 'p'},
                                          {"label", required_argument, NULL, 'l'},
                                          {"json", no_argument, NULL, 'j'},
                                          {NULL, 0, NULL, 0}};
    int option;
    snprintf(run.host, sizeof run.host, "127.0.0.1");
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 's':
            if (sscanf(optarg, "%63[^:]:%u", run.host, &run.port) != 2)
                return -EINVAL;
            break;
        case 'w':
            run.window = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 't':
            run.seconds = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'd':
            run.user = optarg;
            break;
        case 'u':
            run.parameters = optarg;
            break;
        case 'p':
            run.pid = (pid_t)strtol(optarg, NULL, 10);
            break;
        case 'l':
            run.label = optarg;
            break;
        case 'j':
            run.json = true;
            break;
        default:
            return -EINVAL;
        }
    }
    run.to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)run.port)};
    bool good = inet_pton(AF_INET, run.host, &run.to.sin_addr) == 1 && run.window && run.window <= WINDOW_MAX;
    return good ? 0 : -EINVAL;
}

static int open_socket(void) {
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof own;
    int bytes = RECEIVE_BYTES;
    run.fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (run.fd < 0 || bind(run.fd, (struct sockaddr *)&own, sizeof own) != 0 ||
        getsockname(run.fd, (struct sockaddr *)&own, &len) != 0)
        return -errno;
    setsockopt(run.fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
    run.own_port = ntohs(own.sin_port);
    return 0;
}

int main(int argc, char **argv) {
    struct meter before = {0}, after = {0};
    if (read_options(argc, argv) != 0) {
        fprintf(
            stderr,
            "redirect: --sip ADDRESS:PORT (127.0.0.1:5060) --window N open at once (64) --seconds S (10)\n"
            "          --dial USER (+100) --uri ';X-Business-Id=1;X-Phone-Id=bench' --pid PID --label TEXT "
            "--json\n");
        return 2;
    }
    int err = open_socket();
    if (err) {
        fprintf(stderr, "redirect: no socket: %s\n", strerror(-err));
        return 1;
    }
    for (unsigned i = 0; i < run.window; i++)
        begin(&run.calls[i], run.window + i);
    turn_until(now_us() + WARM_US, true);
    run.done = run.others = run.resent = 0;
    run.took = (struct histogram){0};
    if (run.pid && meter_read(&before, run.pid) != 0) {
        fprintf(stderr, "redirect: --pid %d: there is no such process\n", (int)run.pid);
        return 1;
    }
    int64_t began_us = now_us();
    turn_until(began_us + (int64_t)run.seconds * 1000000, true);
    double seconds = (double)(now_us() - began_us) / 1e6;
    if (run.pid)
        meter_read(&after, run.pid);
    report(&before, &after, seconds);
    turn_until(now_us() + 300000, false); // the last ones get their ACK
    close(run.fd);
    return run.done ? 0 : 1;
}

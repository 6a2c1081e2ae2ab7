// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/calls/caller.h"

#include "tests/bench/calls/voice.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    MESSAGE_BYTES = 4096,
    RECEIVE_BYTES = 4 * 1024 * 1024,
    T1_US = 500000, // RFC 3261 section 17.1.1.1
    RESENDS = 7,
    BATCH = 64,
};

enum caller_state { CALLER_IDLE, CALLER_INVITED, CALLER_UP, CALLER_ENDED, CALLER_FAILED };

struct caller {
    struct source source; // of its RTP socket
    struct callers *callers;
    unsigned index, generation, cseq, resends; // generation: how many calls it has had
    enum caller_state state;
    int rtp;
    uint16_t rtp_port;
    struct sockaddr_in to, media; // where the INVITE went; where RTP goes
    char target[512];             // request URI
    char remote_contact[512], to_tag[256];
    int64_t began_us, sent_us;
    int64_t turn_us; // when it hangs up, or calls again; 0 = never
    struct voice voice;
};

struct callers {
    struct source source; // of the signalling socket
    struct run *run;
    int sip;
    uint16_t sip_port;
    struct caller *caller;
    unsigned begun;
};

static void sip_send(struct caller *caller, const char *method, const char *cseq_method, bool with_body) {
    const struct callers *callers = caller->callers;
    const struct options *options = &callers->run->options;
    char body[512] = "", message[MESSAGE_BYTES];
    unsigned number = options->first_number + caller->index;
    if (with_body)
        snprintf(body, sizeof body,
                 "v=0\r\no=bench 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
                 "m=audio %u RTP/AVP %u 101\r\na=rtpmap:%u %s\r\na=rtpmap:101 telephone-event/8000\r\n"
                 "a=ptime:20\r\n",
                 caller->rtp_port, voice_payload_type(options->caller_codec),
                 voice_payload_type(options->caller_codec), voice_rtpmap(options->caller_codec));
    int len =
        snprintf(message, sizeof message,
                 "%s %s SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:%u;branch=z9hG4bK%u-%u-%s;rport\r\n"
                 "Max-Forwards: 70\r\nFrom: <sip:%u@127.0.0.1>;tag=b%u\r\nTo: <%s>%s%s\r\n"
                 "Call-ID: bench-%d-%u-%u\r\nCSeq: %u %s\r\nContact: <sip:%u@127.0.0.1:%u>\r\n"
                 "%sContent-Length: %zu\r\n\r\n%s",
                 method, caller->target, callers->sip_port, caller->index, caller->cseq,
                 strcmp(method, "ACK") == 0 && *caller->remote_contact ? "ack" : cseq_method, number,
                 caller->index, caller->target, *caller->to_tag ? ";tag=" : "", caller->to_tag, (int)getpid(),
                 caller->index, caller->generation, caller->cseq, cseq_method, number, callers->sip_port,
                 *body ? "Content-Type: application/sdp\r\n" : "", strlen(body), body);
    sendto(callers->sip, message, (size_t)len, 0, (struct sockaddr *)&caller->to, sizeof caller->to);
}

static void caller_invite(struct caller *caller, int64_t now_us) {
    caller->state = CALLER_INVITED;
    caller->cseq++;
    caller->resends = 0;
    caller->to_tag[0] = caller->remote_contact[0] = '\0';
    caller->sent_us = now_us;
    sip_send(caller, "INVITE", "INVITE", true);
}

static void caller_rest(struct caller *caller, enum caller_state state) {
    struct run *run = caller->callers->run;
    caller->state = state;
    run->marks[caller->index].live = false;
    caller->turn_us = run->options.life_max_s ? run_now_us() + run_pause_us() : 0;
}

static void caller_fail(struct caller *caller, const char *why) {
    caller_rest(caller, CALLER_FAILED);
    run_call_failed(caller->callers->run, false, why);
}

// ---- answers

static bool header_of(const char *message, const char *name, char *out, size_t size) {
    size_t name_len = strlen(name);
    for (const char *line = strstr(message, "\r\n"); line; line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, name_len) != 0)
            continue;
        const char *value = line + 2 + name_len, *end = strstr(value, "\r\n");
        value += strspn(value, " ");
        size_t len = end ? (size_t)(end - value) : 0;
        len = len < size ? len : size - 1;
        memcpy(out, value, len);
        out[len] = '\0';
        return true;
    }
    return false;
}

// What stands between < and > of a Contact.
static bool contact_of(const char *message, char *out, size_t size) {
    char value[1024];
    if (!header_of(message, "Contact:", value, sizeof value) &&
        !header_of(message, "m:", value, sizeof value))
        return false;
    const char *begin = strchr(value, '<'), *end = begin ? strchr(begin, '>') : NULL;
    if (!end || (size_t)(end - begin) > size)
        return false;
    memcpy(out, begin + 1, (size_t)(end - begin - 1));
    out[end - begin - 1] = '\0';
    return true;
}

static bool address_of(const char *uri, struct sockaddr_in *out) {
    const char *at = strchr(uri, '@');
    const char *host = at ? at + 1 : uri + 4;
    char text[64];
    size_t len = strcspn(host, ":;?");
    if (len >= sizeof text)
        return false;
    memcpy(text, host, len);
    text[len] = '\0';
    unsigned long port = host[len] == ':' ? strtoul(host + len + 1, NULL, 10) : 5060;
    *out = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    return inet_pton(AF_INET, text, &out->sin_addr) == 1;
}

static void take_tag(struct caller *caller, const char *message) {
    char to[1024];
    const char *tag = header_of(message, "To:", to, sizeof to) ? strstr(to, ";tag=") : NULL;
    if (tag)
        snprintf(caller->to_tag, sizeof caller->to_tag, "%.*s", (int)strcspn(tag + 5, ";"), tag + 5);
}

static bool take_media(struct caller *caller, const char *message) {
    const char *line = strstr(message, "\r\nm=audio "), *connection = strstr(message, "\r\nc=IN IP4 ");
    char address[64] = "127.0.0.1";
    if (!line)
        return false;
    if (connection)
        snprintf(address, sizeof address, "%.*s", (int)strcspn(connection + 11, "\r\n/"), connection + 11);
    caller->media = (struct sockaddr_in){.sin_family = AF_INET,
                                         .sin_port = htons((uint16_t)strtoul(line + 10, NULL, 10))};
    return inet_pton(AF_INET, address, &caller->media.sin_addr) == 1;
}

static void caller_answered(struct caller *caller, const char *message, int64_t now_us) {
    struct run *run = caller->callers->run;
    if (caller->state == CALLER_INVITED) {
        take_tag(caller, message);
        if (!take_media(caller, message) ||
            !contact_of(message, caller->remote_contact, sizeof caller->remote_contact)) {
            caller_fail(caller, "a 200 without Contact or audio");
            return;
        }
        int64_t life_us = run_life_us(run);
        caller->state = CALLER_UP;
        caller->turn_us = life_us ? now_us + life_us : 0;
        run->counters.answered++;
        histogram_add(&run->setup, now_us - caller->began_us);
        snprintf(caller->target, sizeof caller->target, "%s", caller->remote_contact);
        address_of(caller->target, &caller->to);
    }
    sip_send(caller, "ACK", "ACK", false);
}

static void caller_redirected(struct caller *caller, const char *message, int64_t now_us) {
    char contact[512];
    take_tag(caller, message);
    sip_send(caller, "ACK", "ACK", false);
    if (caller->state != CALLER_INVITED || !contact_of(message, contact, sizeof contact))
        return;
    caller->callers->run->counters.redirected++;
    snprintf(caller->target, sizeof caller->target, "%s", contact);
    if (address_of(contact, &caller->to))
        caller_invite(caller, now_us);
    else
        caller_fail(caller, "a 302 to a name that is no IPv4 address");
}

static void caller_response(struct caller *caller, const char *message, int64_t now_us) {
    unsigned status = (unsigned)strtoul(message + 8, NULL, 10);
    char cseq[64];
    if (!header_of(message, "CSeq:", cseq, sizeof cseq) || !strstr(cseq, "INVITE") ||
        strtoul(cseq, NULL, 10) != caller->cseq)
        return;
    caller->sent_us = 0;
    if (status >= 200 && status < 300) {
        caller_answered(caller, message, now_us);
    } else if (status >= 300 && status < 400) {
        caller_redirected(caller, message, now_us);
    } else if (status >= 400) {
        char line[128];
        take_tag(caller, message);
        sip_send(caller, "ACK", "ACK", false);
        snprintf(line, sizeof line, "%.*s", (int)strcspn(message, "\r\n"), message);
        if (caller->state != CALLER_INVITED)
            return;
        caller_rest(caller, CALLER_FAILED);
        run_call_failed(caller->callers->run, status == 486 || status == 503, line);
    }
}

// A request of the server's: BYE, or an OPTIONS; answered by its own headers.
static void answer_request(struct callers *callers, const char *message, const struct sockaddr_in *from) {
    static const char *const names[] = {"Via:", "From:", "To:", "Call-ID:", "CSeq:"};
    char reply[MESSAGE_BYTES] = "SIP/2.0 200 OK\r\n", value[1024];
    size_t len = strlen(reply);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (header_of(message, names[i], value, sizeof value))
            len += (size_t)snprintf(reply + len, sizeof reply - len, "%s %s\r\n", names[i], value);
    }
    len += (size_t)snprintf(reply + len, sizeof reply - len, "Content-Length: 0\r\n\r\n");
    sendto(callers->sip, reply, len, 0, (const struct sockaddr *)from, sizeof *from);
}

static struct caller *caller_of(struct callers *callers, const char *message) {
    char id[256], prefix[32];
    int prefix_len = snprintf(prefix, sizeof prefix, "bench-%d-", (int)getpid());
    if (!header_of(message, "Call-ID:", id, sizeof id) || strncmp(id, prefix, (size_t)prefix_len) != 0)
        return NULL;
    char *end;
    unsigned long index = strtoul(id + prefix_len, &end, 10);
    struct caller *caller = index < callers->begun ? &callers->caller[index] : NULL;
    return caller && *end == '-' && strtoul(end + 1, NULL, 10) == caller->generation ? caller : NULL;
}

static void on_sip(struct source *source, uint32_t events) {
    (void)events;
    struct callers *callers = (struct callers *)source;
    char message[MESSAGE_BYTES];
    struct sockaddr_in from;
    for (;;) {
        socklen_t from_len = sizeof from;
        ssize_t len =
            recvfrom(callers->sip, message, sizeof message - 1, 0, (struct sockaddr *)&from, &from_len);
        if (len <= 0)
            return;
        message[len] = '\0';
        struct caller *caller = caller_of(callers, message);
        bool response = strncmp(message, "SIP/2.0 ", 8) == 0;
        if (!response)
            answer_request(callers, message, &from);
        else if (caller)
            caller_response(caller, message, run_now_us());
        if (caller && strncmp(message, "BYE", 3) == 0 && caller->state == CALLER_UP) {
            caller_rest(caller, CALLER_ENDED);
            callers->run->counters.byes_received++;
        }
    }
}

// ---- media

// RFC 5761. The next port to another caller's, where its reports go, may be this one's.
static bool is_rtcp(const struct rtp_packet *packet) {
    return packet->payload_type >= 64 && packet->payload_type < 96;
}

static void on_rtp(struct source *source, uint32_t events) {
    (void)events;
    struct caller *caller = (struct caller *)source;
    uint8_t data[2048];
    ssize_t len;
    while ((len = recv(caller->rtp, data, sizeof data, 0)) > 0) {
        struct rtp_packet packet;
        if (rtp_parse(span_of(data, (size_t)len), &packet) != 0 || is_rtcp(&packet))
            continue;
        voice_seen(&caller->voice, packet.seq);
        voice_hear(&caller->voice, &packet);
    }
}

static int udp_socket(uint16_t *port) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) != 0) {
        int err = -errno;
        if (fd >= 0)
            close(fd);
        return err;
    }
    *port = ntohs(address.sin_port);
    return fd;
}

static int caller_init(struct callers *callers, unsigned index) {
    struct caller *caller = &callers->caller[index];
    *caller = (struct caller){.source.on_event = on_rtp, .callers = callers, .index = index};
    caller->rtp = udp_socket(&caller->rtp_port);
    if (caller->rtp < 0)
        return caller->rtp;
    int err = voice_init(&caller->voice, callers->run, index);
    return err ? err : run_watch(callers->run, caller->rtp, EPOLLIN, &caller->source);
}

static void caller_clear(struct caller *caller) {
    if (caller->callers && caller->rtp >= 0)
        close(caller->rtp);
    voice_clear(&caller->voice);
}

static void caller_speak(struct caller *caller, int64_t now_us) {
    uint8_t data[VOICE_PACKET];
    bool mark;
    size_t len = voice_next(&caller->voice, data, &mark);
    sendto(caller->rtp, data, len, 0, (struct sockaddr *)&caller->media, sizeof caller->media);
    if (mark)
        run_mark_sent(caller->callers->run, caller->index, true, now_us);
}

static void caller_resend(struct caller *caller, int64_t now_us) {
    if (!caller->sent_us || now_us - caller->sent_us < (int64_t)T1_US << caller->resends)
        return;
    if (++caller->resends == RESENDS) {
        caller_fail(caller, "no answer to an INVITE");
        return;
    }
    sip_send(caller, "INVITE", "INVITE", true);
}

static void caller_begin(struct caller *caller, int64_t now_us) {
    const struct options *options = &caller->callers->run->options;
    char host[INET_ADDRSTRLEN];
    caller->to = options->sip;
    caller->began_us = now_us;
    inet_ntop(AF_INET, &options->sip.sin_addr, host, sizeof host);
    snprintf(caller->target, sizeof caller->target, "sip:%u@%s:%u%s",
             options->dialled ? options->dialled : options->first_number + caller->index, host,
             ntohs(options->sip.sin_port), options->uri_parameters);
    caller_invite(caller, now_us);
}

static void begin_next(struct callers *callers, int64_t now_us) {
    while (run_may_begin(callers->run, callers->begun, now_us))
        caller_begin(&callers->caller[callers->begun++], now_us);
}

static void caller_bye(struct caller *caller) {
    caller->cseq++;
    sip_send(caller, "BYE", "BYE", false);
    caller_rest(caller, CALLER_ENDED);
}

// A new call, from a new port.
static void caller_again(struct caller *caller, int64_t now_us) {
    unsigned generation = caller->generation + 1, cseq = caller->cseq;
    struct callers *callers = caller->callers;
    caller_clear(caller);
    callers->run->marks[caller->index] = (struct mark_times){.live = false};
    int err = caller_init(callers, caller->index);
    caller->generation = generation;
    caller->cseq = cseq; // a branch is never used again
    if (err)
        caller_fail(caller, "no socket");
    else
        caller_begin(caller, now_us);
}

static void caller_turn(struct caller *caller, int64_t now_us) {
    if (caller->state == CALLER_UP)
        caller_bye(caller);
    else if (caller->state == CALLER_ENDED || caller->state == CALLER_FAILED)
        caller_again(caller, now_us);
}

void callers_tick(struct callers *callers, int64_t now_ms, int64_t now_us) {
    begin_next(callers, now_us);
    for (unsigned i = (unsigned)(now_ms % VOICE_FRAME_MS); i < callers->begun; i += VOICE_FRAME_MS) {
        struct caller *caller = &callers->caller[i];
        if (caller->turn_us && now_us >= caller->turn_us)
            caller_turn(caller, now_us);
        if (caller->state == CALLER_UP)
            caller_speak(caller, run_now_us());
        else if (caller->state == CALLER_INVITED)
            caller_resend(caller, now_us);
    }
}

void callers_hang_up(struct callers *callers) {
    for (unsigned i = 0; i < callers->begun; i++) {
        struct caller *caller = &callers->caller[i];
        if (caller->state != CALLER_UP)
            continue;
        caller_bye(caller);
        if (i % BATCH == BATCH - 1)
            on_sip(&callers->source, 0);
    }
}

// ---- all of them

int callers_new(struct callers **out, struct run *run) {
    const struct options *options = &run->options;
    struct callers *callers = calloc(1, sizeof *callers);
    if (!callers)
        return -ENOMEM;
    callers->run = run;
    callers->source.on_event = on_sip;
    callers->caller = calloc(options->calls, sizeof *callers->caller);
    callers->sip = udp_socket(&callers->sip_port);
    int err = !callers->caller ? -ENOMEM : callers->sip < 0 ? callers->sip : 0;
    int bytes = RECEIVE_BYTES;
    if (!err) {
        setsockopt(callers->sip, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
        err = run_watch(run, callers->sip, EPOLLIN, &callers->source);
    }
    for (unsigned i = 0; !err && i < options->calls; i++)
        err = caller_init(callers, i);
    if (err)
        callers_free(callers);
    else
        *out = callers;
    return err;
}

void callers_free(struct callers *callers) {
    if (!callers)
        return;
    for (unsigned i = 0; callers->caller && i < callers->run->options.calls; i++)
        caller_clear(&callers->caller[i]);
    if (callers->sip >= 0)
        close(callers->sip);
    free(callers->caller);
    free(callers);
}

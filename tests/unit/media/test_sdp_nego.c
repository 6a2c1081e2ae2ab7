// SPDX-License-Identifier: Apache-2.0
// Golden offers: tests/golden/X.sdp is parsed and answered, and what came of it compared with X.txt. With
// IQ_GOLDEN_WRITE in the environment the .txt files are written instead; read the difference before
// committing it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "media/sdp_nego.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_CAP = 64 * 1024 };

static const enum codec_id webrtc_codecs[] = {CODEC_OPUS, CODEC_PCMU, CODEC_PCMA, CODEC_G722};
static const enum codec_id sip_codecs[] = {CODEC_PCMU, CODEC_PCMA, CODEC_G722, CODEC_OPUS};
static const struct sdp_nego_config webrtc = {webrtc_codecs, 4, SDP_ORDER_OFFER, SDP_PROFILES_DTLS, false};
static const struct sdp_nego_config sip = {sip_codecs, 4, SDP_ORDER_OURS,
                                           SDP_RTP_AVP | SDP_RTP_AVPF | SDP_RTP_SAVP, true};

static const char *const golden[] = {"chromium",       "chromium-trickle", "chromium-g722", "firefox",
                                     "firefox-g722",   "safari",           "sip-g711",      "sip-srtp",
                                     "sip-hold",       "inactive-first",   "inactive-only", "no-audio",
                                     "no-common-codec"};

static char *read_text(const char *name, const char *ending) {
    char path[256];
    snprintf(path, sizeof path, "tests/golden/%s.%s", name, ending);
    FILE *file = fopen(path, "rb");
    if (!file)
        fail_msg("cannot open %s", path);
    char *text = malloc(TEXT_CAP);
    assert_non_null(text);
    size_t len = fread(text, 1, TEXT_CAP - 1, file);
    fclose(file);
    text[len] = '\0';
    return text;
}

// What was understood, and what was chosen, as text. sdp_printf is a line writer, which is all this needs.
static size_t count(struct span text, const char *name) {
    size_t found = 0;
    for (struct span value; sdp_next_attribute(&text, name, &value);)
        found++;
    return found;
}

static void show_transport(struct sdp_writer *w, const struct sdp_transport *t) {
    sdp_printf(w, "  ice %.*s %.*s options '%.*s' setup '%s'", SDP_SPAN(t->ice_ufrag), SDP_SPAN(t->ice_pwd),
               SDP_SPAN(t->ice_options), sdp_setup_name(t->setup));
    for (size_t i = 0; i < t->fingerprint_count; i++) {
        char hash[32];
        assert_true(span_copy(t->fingerprints[i].hash, hash, sizeof hash));
        sdp_write_fingerprint(w, hash, t->fingerprints[i].bytes, t->fingerprints[i].len);
    }
}

static void show_media(struct sdp_writer *w, const struct sdp *sdp, const struct sdp_media *m) {
    sdp_printf(w, "media at line %u: %.*s kind %d port %u profile %d mid '%.*s' %s%s%s%s%s%s", m->line,
               SDP_SPAN(m->kind_name), (int)m->kind, m->port, (int)m->profile, SDP_SPAN(m->mid),
               sdp_direction_name(m->direction), sdp_bundled(sdp, m) ? " bundled" : "",
               m->bundle_only ? " bundle-only" : "", m->rtcp_mux ? " rtcp-mux" : "",
               m->rtcp_mux_only ? " rtcp-mux-only" : "", m->rtcp_rsize ? " rtcp-rsize" : "");
    sdp_printf(w, "  at '%.*s'%s rtcp %u candidates %zu%s crypto %zu ptime %u/%u",
               SDP_SPAN(m->connection.address), m->connection.ip6 ? " ip6" : "", m->rtcp_port,
               count(m->text, "candidate"), m->end_of_candidates ? " all" : "", count(m->text, "crypto"),
               m->ptime_ms, m->maxptime_ms);
    if (m->has_ssrc)
        sdp_printf(w, "  ssrc %u cname '%.*s' msid '%.*s'", m->ssrc, SDP_SPAN(m->cname), SDP_SPAN(m->msid));
    if (m->kind == SDP_APPLICATION)
        sdp_printf(w, "  sctp %u message %llu", m->sctp_port, (unsigned long long)m->max_message_size);
    show_transport(w, &m->transport);
    for (size_t f = 0; f < m->format_count; f++)
        sdp_printf(w, "  format %.*s = %d %.*s/%u/%u '%.*s'", SDP_SPAN(m->formats[f].token),
                   m->formats[f].payload_type, SDP_SPAN(m->formats[f].encoding), m->formats[f].clock_hz,
                   m->formats[f].channels, SDP_SPAN(m->formats[f].fmtp));
}

static void show_choice(struct sdp_writer *w, const char *side, const struct sdp *sdp,
                        const struct sdp_nego_config *config) {
    struct sdp_audio audio;
    struct err_text err;
    int rc = sdp_nego_choose(&audio, sdp, config, &err);
    if (rc < 0) {
        sdp_printf(w, "%s: %s: %s", side, err_name(rc), err.text);
        return;
    }
    char formats[16];
    sdp_nego_formats(&audio, formats);
    assert_ptr_equal(audio.media, &sdp->media[audio.media_index]);
    sdp_printf(w, "%s: media %zu, %s, formats '%s'%s", side, audio.media_index,
               codec_desc(audio.codec)->rtp_name, formats, audio.peer_wants_fec ? ", fec" : "");
    sdp_nego_write(w, &audio);
}

static void show(struct sdp_writer *w, const struct sdp *sdp) {
    sdp_printf(w, "origin '%.*s' %.*s %.*s '%.*s'%s", SDP_SPAN(sdp->origin.username),
               SDP_SPAN(sdp->origin.session_id), SDP_SPAN(sdp->origin.version), SDP_SPAN(sdp->origin.address),
               sdp->origin.ip6 ? " ip6" : "");
    sdp_printf(w, "bundle '%.*s'%s", SDP_SPAN(sdp->bundle), sdp->ice_lite ? " ice-lite" : "");
    for (size_t i = 0; i < sdp->media_count; i++)
        show_media(w, sdp, &sdp->media[i]);
    show_choice(w, "webrtc", sdp, &webrtc);
    show_choice(w, "sip", sdp, &sip);
}

static void strip_cr(char *text) {
    char *to = text;
    for (const char *from = text; *from; from++)
        if (*from != '\r')
            *to++ = *from;
    *to = '\0';
}

static void test_golden(void **state) {
    (void)state;
    static struct sdp sdp;
    static char shown[TEXT_CAP];
    for (size_t i = 0; i < sizeof golden / sizeof golden[0]; i++) {
        char *text = read_text(golden[i], "sdp");
        struct err_text err;
        if (sdp_read(&sdp, span_str(text), &err) != 0)
            fail_msg("%s: %s", golden[i], err.text);
        struct sdp_writer w;
        sdp_writer_init(&w, shown, sizeof shown);
        show(&w, &sdp);
        assert_true(sdp_writer_done(&w) > 0);
        strip_cr(shown);
        if (getenv("IQ_GOLDEN_WRITE")) {
            char path[256];
            snprintf(path, sizeof path, "tests/golden/%s.txt", golden[i]);
            FILE *file = fopen(path, "wb");
            assert_non_null(file);
            fputs(shown, file);
            fclose(file);
        }
        char *expected = read_text(golden[i], "txt");
        if (strcmp(shown, expected) != 0)
            print_message("%s\n", golden[i]);
        assert_string_equal(shown, expected);
        free(expected);
        free(text);
    }
}

static int choose(struct sdp_audio *out, struct sdp *sdp, const char *body,
                  const struct sdp_nego_config *config) {
    static char text[4096];
    snprintf(text, sizeof text, "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n%s", body);
    struct err_text err;
    if (sdp_read(sdp, span_str(text), &err) != 0)
        fail_msg("%s", err.text);
    return sdp_nego_choose(out, sdp, config, &err);
}

static void test_ptime(void **state) {
    (void)state;
    static const struct {
        const char *lines;
        uint32_t ptime_ms;
    } cases[] = {
        {"", 20},
        {"a=ptime:10\r\n", 10},
        {"a=ptime:20\r\n", 20},
        {"a=ptime:30\r\n", 20}, // we make no frame of 30
        {"a=ptime:40\r\n", 40},
        {"a=ptime:60\r\n", 60},
        {"a=ptime:120\r\n", 60},
        {"a=ptime:3\r\n", 10},
        {"a=ptime:0\r\n", 20},
        {"a=ptime:x\r\n", 20},
        {"a=ptime:60\r\na=maxptime:40\r\n", 40},
        {"a=maxptime:10\r\n", 10},
        {"a=maxptime:5\r\n", 10},
        {"a=maxptime:150\r\n", 20},
    };
    static struct sdp sdp;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char body[256];
        snprintf(body, sizeof body, "m=audio 9 RTP/AVP 0\r\n%s", cases[i].lines);
        struct sdp_audio audio;
        assert_int_equal(choose(&audio, &sdp, body, &sip), 0);
        assert_int_equal(audio.ptime_ms, cases[i].ptime_ms);
    }
}

static void test_direction_is_turned(void **state) {
    (void)state;
    static const enum sdp_direction both[][2] = {{SDP_SENDRECV, SDP_SENDRECV},
                                                 {SDP_SENDONLY, SDP_RECVONLY},
                                                 {SDP_RECVONLY, SDP_SENDONLY},
                                                 {SDP_INACTIVE, SDP_INACTIVE}};
    static struct sdp sdp;
    for (size_t i = 0; i < 4; i++) {
        char body[256];
        snprintf(body, sizeof body, "m=audio 9 RTP/AVP 0\r\na=%s\r\n", sdp_direction_name(both[i][0]));
        struct sdp_audio audio;
        assert_int_equal(choose(&audio, &sdp, body, &sip), 0);
        assert_int_equal(audio.direction, both[i][1]);
    }
}

static void test_order(void **state) {
    (void)state;
    static struct sdp sdp;
    struct sdp_audio audio;
    const char *body = "m=audio 9 RTP/SAVPF 8 111 0\r\na=rtpmap:111 OPUS/48000/2\r\n";
    struct sdp_nego_config config = webrtc;
    assert_int_equal(choose(&audio, &sdp, body, &config), 0);
    assert_int_equal(audio.codec, CODEC_PCMA);
    config.order = SDP_ORDER_OURS;
    assert_int_equal(choose(&audio, &sdp, body, &config), 0);
    assert_int_equal(audio.codec, CODEC_OPUS);
    assert_int_equal(audio.payload_type, 111);
    const enum codec_id only[] = {CODEC_PCMU};
    config = (struct sdp_nego_config){only, 1, SDP_ORDER_OFFER, SDP_PROFILES_DTLS, false};
    assert_int_equal(choose(&audio, &sdp, body, &config), 0);
    assert_int_equal(audio.codec, CODEC_PCMU);
}

static void test_refusals(void **state) {
    (void)state;
    static struct sdp sdp;
    struct sdp_audio audio = {.payload_type = 77};
    assert_int_equal(choose(&audio, &sdp, "", &webrtc), -ENOENT);
    assert_int_equal(choose(&audio, &sdp, "m=video 9 RTP/SAVPF 96\r\n", &webrtc), -ENOENT);
    assert_int_equal(choose(&audio, &sdp, "m=audio 0 RTP/SAVPF 0\r\n", &webrtc), -ENOENT);
    assert_int_equal(choose(&audio, &sdp, "m=audio 0 RTP/SAVPF 0\r\na=mid:a\r\na=bundle-only\r\n", &webrtc),
                     -ENOENT); // of no BUNDLE group
    assert_int_equal(choose(&audio, &sdp, "m=audio 9 RTP/AVP 0\r\n", &webrtc), -ENOTSUP); // not encrypted
    assert_int_equal(choose(&audio, &sdp, "m=audio 9 RTP/SAVPF 18\r\n", &webrtc), -ENOTSUP);
    assert_int_equal(choose(&audio, &sdp, "m=audio 9 RTP/SAVPF x\r\n", &webrtc), -ENOTSUP);
    assert_int_equal(sdp_nego_choose(&audio, &sdp, &webrtc, NULL), -ENOTSUP);
    assert_int_equal(audio.payload_type, 77); // untouched
    // The first line that can be taken, not the first line.
    assert_int_equal(choose(&audio, &sdp, "m=audio 9 RTP/SAVPF 18\r\nm=audio 9 RTP/SAVPF 8\r\n", &webrtc), 0);
    assert_int_equal(audio.media_index, 1);
    static const char bundled[] = "a=group:BUNDLE a\r\nm=audio 0 RTP/SAVPF 8\r\na=mid:a\r\na=bundle-only\r\n";
    assert_int_equal(choose(&audio, &sdp, bundled, &webrtc), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_ptime),
        cmocka_unit_test(test_direction_is_turned),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

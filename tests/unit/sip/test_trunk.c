// SPDX-License-Identifier: Apache-2.0
// Two trunks over loopback: what one says the other hears, in every codec, plain and under SRTP.
#include "trunk_fixture.h"

static void tone_both_ways(enum codec_id codec, bool secure, double least) {
    struct call call;
    struct trunk_config config = plain_config;
    config.codecs = &codec;
    config.codec_count = 1;
    config.require_srtp = secure;
    call_new(&call, &config, &config);
    call_up(&call);
    assert_int_equal(call.a.media.codec, codec);
    assert_int_equal(call.b.media.ptime_ms, 20);
    steps(&call, 70);
    double a = heard_tone(&call.a, 1000), b = heard_tone(&call.b, 440);
    if (a < least || b < least)
        fail_msg("codec %d: tones of %f and %f", codec, a, b);
    struct leg_stats stats = stats_of(&call.b);
    assert_in_range(stats.rx_packets, 68, 70);
    assert_int_equal(stats.rx_lost, 0);
    assert_int_equal(stats.tx_packets, 70);
    call_free(&call);
}

static void test_pcmu(void **state) {
    (void)state;
    tone_both_ways(CODEC_PCMU, false, 0.98);
}

static void test_pcma(void **state) {
    (void)state;
    tone_both_ways(CODEC_PCMA, false, 0.98);
}

static void test_g722(void **state) {
    (void)state;
    tone_both_ways(CODEC_G722, false, 0.98);
}

static void test_opus(void **state) {
    (void)state;
    tone_both_ways(CODEC_OPUS, false, 0.9);
}

static void test_srtp(void **state) {
    (void)state;
    tone_both_ways(CODEC_PCMU, true, 0.98);
    tone_both_ways(CODEC_OPUS, true, 0.9);
}

// ---- offers and answers

static char *answer_to(struct side *side, const char *offer) {
    char *answer = NULL;
    struct err_text err = {""};
    if (trunk_offer(side->trunk, offer, strlen(offer), &answer, &err) != 0)
        fail_msg("%s\n%s", err.text, offer);
    return answer;
}

// Of what side `a` would offer, its c= and port, with other lines.
static void offer_like(const struct side *side, char out[2048], unsigned version, const char *audio) {
    char *own = NULL;
    assert_int_equal(trunk_make_offer(side->trunk, &own, NULL), 0);
    unsigned port = (unsigned)strtoul(strstr(own, "m=audio ") + 8, NULL, 10);
    free(own);
    snprintf(out, 2048,
             "v=0\r\no=- 77 %u IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio %u %s",
             version, port, audio);
}

static uint64_t version_of(const char *sdp) {
    const char *at = strstr(sdp, "o=- ");
    assert_non_null(at);
    return strtoull(strchr(at + 4, ' '), NULL, 10);
}

static void test_the_version_grows_when_the_answer_changes(void **state) {
    (void)state;
    struct call call;
    char offer[2048];
    call_new(&call, &plain_config, &plain_config);
    offer_like(&call.a, offer, 1, "RTP/AVP 0 8\r\n");
    char *first = answer_to(&call.b, offer), *again = answer_to(&call.b, offer);
    assert_string_equal(first, again);
    offer_like(&call.a, offer, 2, "RTP/AVP 0 8\r\na=sendonly\r\n");
    char *held = answer_to(&call.b, offer);
    assert_non_null(strstr(held, "a=recvonly"));
    assert_int_equal(version_of(held), version_of(first) + 1);
    offer_like(&call.a, offer, 3, "RTP/AVP 0 8\r\n");
    char *resumed = answer_to(&call.b, offer);
    assert_int_equal(version_of(resumed), version_of(first) + 2);
    free(first);
    free(again);
    free(held);
    free(resumed);
    call_free(&call);
}

static void test_refused_offers_change_nothing(void **state) {
    (void)state;
    static const struct {
        const char *sdp;
        int code;
    } cases[] = {
        {"", -EINVAL},
        {"v=0\r\nm=audio\r\n", -EINVAL},
        {"v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n", -ENOENT},
        {"v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 0 RTP/AVP 0\r\n",
         -ENOENT},
        {"v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 18\r\n",
         -ENOTSUP},
        {"v=0\r\no=- 1 1 IN IP6 ::1\r\ns=-\r\nc=IN IP6 ::1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n", -ENOTSUP},
    };
    struct call call;
    call_new(&call, &plain_config, &plain_config);
    call_up(&call);
    steps(&call, 20);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *answer = NULL;
        struct err_text err = {""};
        assert_int_equal(trunk_offer(call.b.trunk, cases[i].sdp, strlen(cases[i].sdp), &answer, &err),
                         cases[i].code);
        assert_null(answer);
        assert_true(err.text[0] != '\0');
    }
    steps(&call, 60);
    assert_true(heard_tone(&call.b, 440) > 0.98);
    assert_int_equal(call.b.changes, 0);
    call_free(&call);
}

static void test_hold_and_resume(void **state) {
    (void)state;
    struct call call;
    char offer[2048];
    call_new(&call, &plain_config, &plain_config);
    call_up(&call);
    steps(&call, 60);
    static const struct {
        const char *lines, *answer;
        bool b_hears, b_speaks;
    } holds[] = {{"a=sendonly\r\n", "a=recvonly", true, false},
                 {"a=inactive\r\n", "a=inactive", false, false},
                 {"c=IN IP4 0.0.0.0\r\n", "a=recvonly", true, false},
                 {"a=recvonly\r\n", "a=sendonly", false, true},
                 {"", "a=sendrecv", true, true}};
    for (unsigned i = 0; i < sizeof holds / sizeof holds[0]; i++) {
        char audio[256];
        snprintf(audio, sizeof audio, "RTP/AVP 0 101\r\n%sa=rtpmap:101 telephone-event/8000\r\n",
                 holds[i].lines);
        offer_like(&call.a, offer, 10 + i, audio);
        char *answer = answer_to(&call.b, offer);
        if (!strstr(answer, holds[i].answer))
            fail_msg("%s is answered\n%s", holds[i].lines, answer);
        free(answer);
        uint64_t before = stats_of(&call.b).tx_packets;
        steps(&call, 60);
        assert_int_equal(stats_of(&call.b).tx_packets - before, holds[i].b_speaks ? 60 : 0);
        assert_int_equal(heard_tone(&call.b, 440) > 0.9, holds[i].b_hears);
    }
    assert_int_equal(call.b.changes, 0); // neither codec nor rate
    call_free(&call);
}

static void test_another_codec(void **state) {
    (void)state;
    struct call call;
    call_new(&call, &plain_config, &plain_config);
    call_up(&call);
    assert_int_equal(call.b.media.codec, CODEC_PCMU);
    steps(&call, 20);
    char offer[2048];
    offer_like(&call.a, offer, 2, "RTP/AVP 9\r\na=ptime:40\r\n");
    free(answer_to(&call.b, offer));
    assert_int_equal(call.b.changes, 1);
    assert_int_equal(call.b.media.codec, CODEC_G722);
    assert_int_equal(call.b.media.ptime_ms, 40);
    assert_int_equal(call.b.media.pcm_rate_hz, 16000);
    call_free(&call);
}

// The peer's media moves to another trunk of its own: ours follows the SDP, and hears it from there.
static void test_moved_media(void **state) {
    (void)state;
    struct call call;
    struct side c = {.up = false};
    call_new(&call, &plain_config, &plain_config);
    call_up(&call);
    steps(&call, 60);
    side_new(&c, &call.env, &plain_config);
    negotiate(&c, &call.b);
    side_start(&call, &c, 2000);
    for (int i = 0; i < 70; i++) { // the old one has not noticed yet
        world_us += STEP_MS * 1000;
        side_write(&call.a);
        side_write(&call.b);
        side_write(&c);
        settle(&call);
        side_read(&call.b);
        side_read(&c);
    }
    assert_true(heard_tone(&call.b, 2000) > 0.98);
    assert_true(heard_tone(&c, 1000) > 0.98);
    side_close(&call, &c);
    call_free(&call);
}

// The agent's side offers, as in an INVITE without SDP; the peer's answer may come long after our 200.
static void test_our_offer_answered_late(void **state) {
    (void)state;
    struct call call;
    char *offer = NULL, *answer = NULL;
    struct err_text err;
    call_new(&call, &plain_config, &plain_config);
    assert_int_equal(trunk_answer(call.a.trunk, "v=0\r\n", 5, &err), -EINVAL); // to no offer
    assert_int_equal(trunk_make_offer(call.a.trunk, &offer, &err), 0);
    trunk_start(call.a.trunk);
    settle(&call);
    assert_false(call.a.up);
    assert_int_equal(trunk_offer(call.b.trunk, offer, strlen(offer), &answer, &err), 0);
    assert_int_equal(trunk_answer(call.a.trunk, "v=0\r\nm=audio 0 RTP/AVP 0\r\n", 26, &err), -ENOENT);
    assert_int_equal(trunk_answer(call.a.trunk, answer, strlen(answer), &err), 0);
    side_start(&call, &call.a, 440);
    side_start(&call, &call.b, 1000);
    steps(&call, 60);
    assert_true(heard_tone(&call.a, 1000) > 0.98);
    free(offer);
    free(answer);
    call_free(&call);
}

// A refresh of the session changes no key, and a new key of the peer's is taken.
static void test_keys_over_renegotiation(void **state) {
    (void)state;
    struct call call;
    struct trunk_config secure = plain_config;
    secure.require_srtp = true;
    call_new(&call, &secure, &secure);
    call_up(&call);
    steps(&call, 20);
    negotiate(&call.a, &call.b);
    steps(&call, 60);
    assert_true(heard_tone(&call.a, 1000) > 0.98);
    assert_true(heard_tone(&call.b, 440) > 0.98);
    assert_int_equal(stats_of(&call.b).rx_lost, 0);
    struct side c = {.up = false};
    side_new(&c, &call.env, &secure);
    negotiate(&c, &call.b);
    side_start(&call, &c, 2000);
    for (int i = 0; i < 70; i++) {
        world_us += STEP_MS * 1000;
        side_write(&call.b);
        side_write(&c);
        settle(&call);
        side_read(&call.b);
        side_read(&c);
    }
    assert_true(heard_tone(&call.b, 2000) > 0.98);
    assert_true(heard_tone(&c, 1000) > 0.98);
    side_close(&call, &c);
    call_free(&call);
}

static void test_the_public_address_is_said(void **state) {
    (void)state;
    struct call call;
    call_new(&call, &plain_config, &plain_config);
    call.env.public_address = "203.0.113.50";
    char *offer = NULL;
    assert_int_equal(trunk_make_offer(call.a.trunk, &offer, NULL), 0);
    assert_non_null(strstr(offer, "c=IN IP4 203.0.113.50\r\n"));
    free(offer);
    call_free(&call);
}

static void test_ip6(void **state) {
    (void)state;
    struct call call;
    struct trunk_config config = plain_config;
    config.local_address = config.remote_address = "::1";
    call_new(&call, &config, &config);
    call.env.public_address = "203.0.113.50"; // of the other family: not said
    call_up(&call);
    steps(&call, 60);
    assert_true(heard_tone(&call.a, 1000) > 0.98);
    call_free(&call);
}

// ---- the end of a call

// The clock goes on meanwhile: a report that comes shows the peer alive once more.
static void run_until_dead(struct call *call, const struct side *side) {
    for (int i = 0; i < PATIENCE_TURNS && !side->ended; i++) {
        world_us += 1000;
        uv_run(&call->loop, UV_RUN_ONCE);
    }
    assert_true(side->ended);
    assert_int_equal(side->end, LEG_END_LOST);
}

static void test_a_dead_call(void **state) {
    (void)state;
    struct call call;
    struct trunk_config config = plain_config;
    config.dead_call_ms = 40;
    call_new(&call, &config, &config);
    call_up(&call);
    steps(&call, 10);
    assert_false(call.a.ended);
    run_until_dead(&call, &call.a);
    call_free(&call);
}

static void test_a_call_on_hold_is_not_dead(void **state) {
    (void)state;
    struct call call;
    struct trunk_config config = plain_config;
    char offer[2048];
    config.dead_call_ms = 20;
    call_new(&call, &plain_config, &config);
    call_up(&call);
    offer_like(&call.a, offer, 2, "RTP/AVP 0\r\na=inactive\r\n");
    free(answer_to(&call.b, offer));
    for (int i = 0; i < 60; i++) { // of the loop's own time: the guard looks several times
        world_us += 1000000;
        uv_run(&call.loop, UV_RUN_ONCE);
    }
    assert_false(call.b.ended);
    offer_like(&call.a, offer, 3, "RTP/AVP 0\r\n");
    free(answer_to(&call.b, offer));
    for (int i = 0; i < 60; i++)
        uv_run(&call.loop, UV_RUN_ONCE);
    assert_false(call.b.ended); // the time of the hold does not count
    run_until_dead(&call, &call.b);
    call_free(&call);
}

static void test_digits_over_the_wire(void **state) {
    (void)state;
    struct call call;
    call_new(&call, &plain_config, &plain_config);
    call_up(&call);
    assert_int_equal(call.a.leg.ops->send_dtmf(call.a.leg.impl, "12x"), -EINVAL);
    assert_int_equal(call.a.leg.ops->send_dtmf(call.a.leg.impl, "1*A"), 0);
    steps(&call, 60);
    trunk_dtmf(call.b.trunk, '9');
    assert_string_equal(call.b.digits, "1*A9");
    assert_int_equal(call.a.leg.ops->send_text(call.a.leg.impl, "hi", 2), -ENOTCONN);
    call_free(&call);
}

static void test_no_port_is_free(void **state) {
    (void)state;
    struct call call;
    struct trunk *trunk = NULL;
    call_new(&call, &plain_config, &plain_config);
    call.env.rtp_port_min = call.env.rtp_port_max = 20001;
    assert_int_equal(trunk_new(&trunk, &call.env, &plain_config, &side_events, NULL), -EMFILE);
    struct trunk_config config = plain_config;
    config.local_address = "pbx.example";
    assert_int_equal(trunk_new(&trunk, &call.env, &config, &side_events, NULL), -EINVAL);
    config.codec_count = 0;
    assert_int_equal(trunk_new(&trunk, &call.env, &config, &side_events, NULL), -EINVAL);
    assert_null(trunk);
    call_free(&call);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pcmu),
        cmocka_unit_test(test_pcma),
        cmocka_unit_test(test_g722),
        cmocka_unit_test(test_opus),
        cmocka_unit_test(test_srtp),
        cmocka_unit_test(test_the_version_grows_when_the_answer_changes),
        cmocka_unit_test(test_refused_offers_change_nothing),
        cmocka_unit_test(test_hold_and_resume),
        cmocka_unit_test(test_another_codec),
        cmocka_unit_test(test_moved_media),
        cmocka_unit_test(test_our_offer_answered_late),
        cmocka_unit_test(test_keys_over_renegotiation),
        cmocka_unit_test(test_the_public_address_is_said),
        cmocka_unit_test(test_ip6),
        cmocka_unit_test(test_a_dead_call),
        cmocka_unit_test(test_a_call_on_hold_is_not_dead),
        cmocka_unit_test(test_digits_over_the_wire),
        cmocka_unit_test(test_no_port_is_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

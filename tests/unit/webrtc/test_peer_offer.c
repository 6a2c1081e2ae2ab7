// SPDX-License-Identifier: Apache-2.0
// Offers and candidates, first and later ones, of a scripted browser.
#include "tests/unit/webrtc/peer_browser.h"

static void test_offers_refused(void **state) {
    struct world *world = *state;
    struct err_text err = {""};
    char *answer = NULL;
    const char *no_audio = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n";
    assert_int_equal(peer_offer(world->peer, no_audio, strlen(no_audio), &answer, &err), -ENOENT);
    assert_int_equal(peer_offer(world->peer, "nonsense", 8, &answer, &err), -EINVAL);
    assert_true(strlen(err.text) > 0);
    world->browser.codec_line = "a=rtpmap:111 speex/8000\r\n";
    assert_int_equal(offer_once(world, &err), -ENOTSUP);
    assert_null(answer);
    // None of it has hurt: a good one follows.
    world->browser.codec_line = "a=rtpmap:111 opus/48000/2\r\n";
    connect_media(world);
    // And later ones that do not fit leave the call as it is.
    world->browser.other_fingerprint = true;
    assert_int_equal(offer_once(world, &err), -EPROTO);
    assert_non_null(strstr(err.text, "fingerprint"));
    world->browser.other_fingerprint = false;
    world->browser.setup = "passive";
    assert_int_equal(offer_once(world, &err), -EPROTO);
    assert_non_null(strstr(err.text, "setup"));
    RUN_UNTIL(world, both_hear(world));
    assert_int_equal(world->ends, 0);
}

static void test_renegotiation(void **state) {
    struct world *world = *state;
    world->browser.channel = false;
    connect_media(world);
    RUN_UNTIL(world, both_hear(world));
    assert_int_equal(world->leg.ops->send_text(world->leg.impl, "x", 1), -ENOTCONN);

    // Another codec, and now a data channel.
    world->browser.codec_line = "";
    world->browser.payload_type = 0;
    offer_good(world);
    assert_true(world->media_changed);
    assert_int_equal(world->media.codec, CODEC_PCMU);
    assert_int_equal(world->media.pcm_rate_hz, 8000);
    tones_at(world, 8000);
    RUN_UNTIL(world, both_hear(world));
    world->browser.channel = true;
    offer_good(world);
    browser_sctp(world);
    RUN_UNTIL(world, world->browser.greeting[0]);

    // On hold: silence here, whatever comes.
    world->browser.direction = "inactive";
    offer_good(world);
    RUN_UNTIL(world, !hears(world->peer_heard, 8000, 700));
    assert_non_null(strstr(world->answer, "a=inactive"));
    world->browser.direction = "sendrecv";
    offer_good(world);
    RUN_UNTIL(world, both_hear(world));
    assert_int_equal(world->ends, 0);
}

// The browser comes back from another network: new sockets and credentials, the same DTLS.
static void test_ice_restart(void **state) {
    struct world *world = *state;
    connect_media(world);
    RUN_UNTIL(world, both_hear(world));
    browser_drop_ice(world);
    browser_make_ice(world);
    offer_good(world);
    assert_int_equal(ice_gather(world->browser.ice), 0);
    assert_non_null(strstr(world->answer, "a=candidate:"));
    memset(world->peer_heard, 0, sizeof world->peer_heard);
    memset(world->browser_heard, 0, sizeof world->browser_heard);
    RUN_UNTIL(world, both_hear(world));
    assert_int_equal(sctp_assoc_send(world->browser.sctp, 0, 51, (const uint8_t *)"again", 5), 0);
    RUN_UNTIL(world, world->text[0]);
    assert_int_equal(world->ends, 0);
}

static void test_many_candidates(void **state) {
    struct world *world = *state;
    struct peer_candidate candidate = {.sdp_mid = "0", .sdp_mline_index = 0};
    char text[128];
    unsigned refused = 0;
    candidate.candidate = text;
    for (unsigned i = 0; i < 300; i++) {
        // On loopback, where nobody answers.
        snprintf(text, sizeof text, "candidate:%u 1 udp 2113937151 127.0.%u.%u 9 typ host", i, i / 250,
                 i % 250 + 1);
        int err = peer_add_candidate(world->peer, &candidate);
        assert_true(err == 0 || err == -ENOSPC);
        refused += err == -ENOSPC;
        if (i == 100) {
            assert_int_equal(refused, 101 - 64);
            offer_good(world);
        }
    }
    assert_true(refused >= 300 - 128 - 64);
    candidate.candidate = "candidate:nonsense";
    assert_true(peer_add_candidate(world->peer, &candidate) < 0);
    // Our own candidates suffice for the browser to find us among all that.
    assert_int_equal(ice_gather(world->browser.ice), 0);
    struct peer *peer = world->peer;
    world->peer = NULL; // the browser's own are beyond the limit
    RUN_UNTIL(world, world->up && world->browser.connected);
    world->peer = peer;
    RUN_UNTIL(world, both_hear(world));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_offers_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_renegotiation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ice_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_candidates, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

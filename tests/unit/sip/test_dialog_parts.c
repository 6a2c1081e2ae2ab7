// SPDX-License-Identifier: Apache-2.0
// The pure parts of a dialog: session timers (RFC 4028) and keys in INFO bodies.
#include "sip/dialog_info.h"
#include "sip/dialog_timer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

static const struct session_timer_limits limits = {.expires_s = 1800, .min_se_s = 90};

static struct session_timer agreed(struct session_timer_ask ask) {
    struct session_timer timer = {0};
    assert_int_equal(session_timer_answer(&timer, &ask, &limits), 0);
    return timer;
}

static void test_no_timer_for_who_wants_none(void **state) {
    (void)state;
    assert_int_equal(agreed((struct session_timer_ask){0}).interval_s, 0);
}

// Table 2 of RFC 4028: who refreshes.
static void test_refresher(void **state) {
    (void)state;
    struct session_timer_ask ask = {.supported = true, .expires_s = 600, .refresher = REFRESHER_UAC};
    assert_false(agreed(ask).ours);
    ask.refresher = REFRESHER_UAS;
    assert_true(agreed(ask).ours);
    ask.refresher = REFRESHER_UNSAID;
    assert_true(agreed(ask).ours);
    // A proxy asked for it, the caller itself cannot: then it must be us, whatever is said.
    ask = (struct session_timer_ask){.expires_s = 600, .refresher = REFRESHER_UAC};
    assert_true(agreed(ask).ours);
}

static void test_interval(void **state) {
    (void)state;
    assert_int_equal(agreed((struct session_timer_ask){.supported = true}).interval_s, 1800);
    assert_int_equal(agreed((struct session_timer_ask){.supported = true, .expires_s = 90}).interval_s, 90);
    assert_int_equal(agreed((struct session_timer_ask){.supported = true, .expires_s = 7200}).interval_s,
                     1800);
    struct session_timer_ask ask = {.supported = true, .expires_s = 7200, .min_se_s = 3600};
    assert_int_equal(agreed(ask).interval_s, 3600);
    struct session_timer timer = {.interval_s = 7};
    ask = (struct session_timer_ask){.supported = true, .expires_s = 89};
    assert_int_equal(session_timer_answer(&timer, &ask, &limits), -ERANGE);
    assert_int_equal(timer.interval_s, 7);
    ask.supported = false; // whoever does not know of timers does not understand a 422
    assert_int_equal(agreed(ask).interval_s, 90);
}

static void test_after_our_refresh(void **state) {
    (void)state;
    struct session_timer timer = session_timer_refreshed(&(struct session_timer_ask){0}, 600);
    assert_int_equal(timer.interval_s, 600);
    assert_true(timer.ours);
    timer = session_timer_refreshed(&(struct session_timer_ask){.expires_s = 300, .refresher = REFRESHER_UAS},
                                    600);
    assert_int_equal(timer.interval_s, 300);
    assert_false(timer.ours);
}

static void test_when(void **state) {
    (void)state;
    assert_int_equal(session_timer_refresh_s(1800), 900);
    assert_int_equal(session_timer_give_up_s(1800), 1768);
    assert_int_equal(session_timer_give_up_s(90), 60);
}

static int key_of(const char *type, const char *body) {
    char key = '?';
    int err = dialog_info_key(type, span_str(body), &key);
    return err ? err : key;
}

static void test_keys(void **state) {
    (void)state;
    static const char relay[] = "application/dtmf-relay", plain[] = "application/dtmf";
    assert_int_equal(key_of(relay, "Signal=5\r\nDuration=160\r\n"), '5');
    assert_int_equal(key_of("Application/DTMF-Relay", "Duration=160\nsignal = *"), '*');
    assert_int_equal(key_of(relay, "Signal=d"), 'D');
    assert_int_equal(key_of(relay, "Signal= 10\r\n"), '*');
    assert_int_equal(key_of(relay, "Signal=15\r\n"), 'D');
    assert_int_equal(key_of(relay, "Signal=16\r\n"), '\0');
    assert_int_equal(key_of(plain, "#"), '#');
    assert_int_equal(key_of(plain, " 0 \r\n"), '0');
    assert_int_equal(key_of(plain, "11"), '#');
    assert_int_equal(key_of(plain, ""), -EINVAL);
    assert_int_equal(key_of(plain, "9x"), -EINVAL);
    assert_int_equal(key_of(plain, "09"), -EINVAL);
    assert_int_equal(key_of(relay, "Signal=17"), -EINVAL);
    assert_int_equal(key_of(relay, "Signal="), -EINVAL);
    assert_int_equal(key_of(relay, "Signalling=5"), -EINVAL);
    assert_int_equal(key_of(relay, "5"), -EINVAL);
    assert_int_equal(key_of("text/plain", "5"), -ENOTSUP);
    char key;
    assert_int_equal(dialog_info_key(plain, span_of("\0", 1), &key), -EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_timer_for_who_wants_none),
        cmocka_unit_test(test_refresher),
        cmocka_unit_test(test_interval),
        cmocka_unit_test(test_after_our_refresh),
        cmocka_unit_test(test_when),
        cmocka_unit_test(test_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
#include "sip/sipreq.h"

#include <errno.h>
#include <setjmp.h>
#include <sofia-sip/msg_parser.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_util.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct sip_request request; // of the last copy
static const char *phrase;

struct message {
    const char *uri, *from, *headers, *call_id, *via;
    bool trusted;
};

static int copy(struct message m) {
    char text[8192];
    static char *const names[] = {"X-Account", "X-Missing", "X-Trunk"};
    static const struct conf_strings forwarded = {.items = (char **)(uintptr_t)names, .count = 3};
    struct network home;
    assert_true(network_parse("192.0.2.0/24", &home));
    const struct sipreq_policy policy = {
        .forwarded_headers = &forwarded, .trusted = &home, .trusted_count = m.trusted};
    struct sipreq_source source = {.port = 5060};
    assert_true(address_parse("192.0.2.9", &source.address));
    snprintf(
        text, sizeof text,
        "INVITE %s SIP/2.0\r\nVia: SIP/2.0/%s h;branch=z9hG4bK1\r\nFrom: %s\r\nTo: <sip:b@h>\r\nCall-ID: "
        "%s\r\nCSeq: 1 INVITE\r\n%sContent-Length: 0\r\n\r\n",
        m.uri ? m.uri : "sip:+9681@proxy", m.via ? m.via : "UDP",
        m.from ? m.from : "<sip:+4930@carrier>;tag=f", m.call_id ? m.call_id : "c",
        m.headers ? m.headers : "");
    msg_t *msg = msg_make(sip_default_mclass(), 0, text, (ssize_t)strlen(text));
    sip_t *sip = sip_object(msg);
    assert_non_null(sip);
    assert_non_null(sip->sip_request);
    assert_int_equal(sip_sanity_check(sip), 0);
    sip_request_clear(&request);
    phrase = NULL;
    int err = sipreq_copy(&request, sip, &source, &policy, &phrase);
    msg_destroy(msg);
    return err;
}

static void copied(struct message m) {
    assert_int_equal(copy(m), 0);
}

static void routing_keys_come_from_three_places(void **state) {
    (void)state;
    static const char *const uris[] = {
        "sip:+9681@p;X-Business-Id=123;X-Phone-Id=a%20b;transport=tcp",
        "sip:+9681@p;x-business-id=123;X-PHONE-ID=a%20b",
        "sip:+9681@p?X-Business-Id=123&X-Phone-Id=a%20b",
        "sip:+9681@p;X-Business-Id=123?X-Business-Id=9&X-Phone-Id=a%20b",
        "sip:+9681@p:5060;lr;X-Business-Id=123;X-Phone-Id=a%20b;X-Phone-Id=second",
    };
    for (size_t i = 0; i < sizeof uris / sizeof uris[0]; i++) {
        copied((struct message){.uri = uris[i], .headers = "X-Business-Id: 77\r\n"});
        assert_string_equal(request.business_id, "123");
        assert_string_equal(request.phone_id, "a b");
        assert_string_equal(request.called, "+9681");
    }
    copied((struct message){.headers = "X-Business-Id:  77 \r\nx-phone-id: ph\r\nX-CallQueue-Id: q\r\n"});
    assert_string_equal(request.business_id, "77");
    assert_string_equal(request.phone_id, "ph");
    assert_string_equal(request.queue_id, "q");
    copied((struct message){.uri = "sip:+9681@p;X-Business-Identity=1;X-Business-Id"});
    assert_string_equal(request.business_id, "");
}

static void who_is_called(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"sip:+9681@p", "+9681"},
        {"sips:%2b9681@p", "+9681"},
        {"sip:p", ""},
        {"tel:+9681", "+9681"},
        {"sip:+9681:secret@p", "+9681"},
        {"sip:+9681;npdi=yes@p", "+9681"},
        {"tel:+968-1;phone-context=x", "+968-1"},
        {"sip:a%00b%0d%0ac@p", "abc"},
        {"sip:%ff%c3%bc@p", "?\xc3\xbc"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        copied((struct message){.uri = cases[i][0]});
        assert_string_equal(request.called, cases[i][1]);
    }
}

static void who_calls(void **state) {
    (void)state;
    copied((struct message){.from = "\"Ann \\\"x\\\" O\" <sip:+4930;tag=1@c>;tag=f"});
    assert_string_equal(request.caller, "+4930");
    assert_string_equal(request.caller_name, "Ann \\\"x\\\" O");
    copied((struct message){.from = "tel:+4930;tag=f"});
    assert_string_equal(request.caller, "+4930");
    copied((struct message){.from = "sip:anonymous@anonymous.invalid;tag=f"});
    assert_string_equal(request.caller, "anonymous");
    // Only whom we trust may say who calls.
    static const char asserted[] = "P-Asserted-Identity: \"Bob\" <sip:+4940@c>, <tel:+4941>\r\n";
    copied((struct message){.headers = asserted});
    assert_string_equal(request.caller, "+4930");
    copied((struct message){.headers = asserted, .trusted = true});
    assert_string_equal(request.caller, "+4940");
    assert_string_equal(request.caller_name, "Bob");
    copied((struct message){.headers = "P-Asserted-Identity: <tel:+4942>\r\n", .trusted = true});
    assert_string_equal(request.caller, "+4942");
    copied((struct message){.headers = "P-Asserted-Identity: ;;<\r\n", .trusted = true});
    assert_string_equal(request.caller, "+4930");
}

static void the_rest(void **state) {
    (void)state;
    copied((struct message){.headers =
                                "User-Agent: PBX\t1\r\nX-Account:  one\r\nx-trunk: two\r\nX-Other: no\r\n",
                            .via = "TLS",
                            .call_id = "a@b"});
    assert_string_equal(request.call_id, "a@b");
    assert_string_equal(request.from_tag, "f");
    assert_int_equal(request.cseq, 1);
    assert_string_equal(request.source, "192.0.2.9");
    assert_int_equal(request.source_port, 5060);
    assert_string_equal(request.transport, "tls");
    assert_string_equal(request.user_agent, "PBX1");
    assert_int_equal(request.header_count, 2);
    assert_string_equal(request.headers[0].name, "X-Account");
    assert_string_equal(request.headers[0].value, "one");
    assert_string_equal(request.headers[1].name, "X-Trunk");
    assert_string_equal(request.headers[1].value, "two");
}

static void what_is_too_long_or_foreign_is_refused(void **state) {
    (void)state;
    char long_text[400], uri[512], headers[2048];
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    assert_int_equal(copy((struct message){.call_id = long_text}), -EINVAL);
    assert_string_equal(phrase, "Call-ID Too Long");
    snprintf(uri, sizeof uri, "<sip:1@p>;tag=%s", long_text);
    assert_int_equal(copy((struct message){.from = uri}), -EINVAL);
    assert_string_equal(phrase, "From Tag Too Long");
    snprintf(uri, sizeof uri, "sip:%s@p", long_text);
    assert_int_equal(copy((struct message){.uri = uri}), -EINVAL);
    assert_string_equal(phrase, "Request-URI Too Long");
    snprintf(uri, sizeof uri, "sip:1@p;X-Phone-Id=%s", long_text);
    assert_int_equal(copy((struct message){.uri = uri}), -EINVAL);
    assert_string_equal(phrase, "Routing Key Too Long");
    assert_int_equal(copy((struct message){.uri = "http://p/"}), -EPROTONOSUPPORT);
    assert_int_equal(copy((struct message){.uri = "urn:service:sos"}), -EPROTONOSUPPORT);
    // What only describes is cut.
    snprintf(headers, sizeof headers, "X-Account: %s%s%s\r\nUser-Agent: %s\r\n", long_text, long_text,
             long_text, long_text);
    copied((struct message){.headers = headers,
                            .from = "<sip:0123456789012345678901234567890123456789@c>;tag=f"});
    assert_int_equal(strlen(request.headers[0].value), 1023);
    assert_int_equal(strlen(request.user_agent), 127);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(routing_keys_come_from_three_places),
        cmocka_unit_test(who_is_called),
        cmocka_unit_test(who_calls),
        cmocka_unit_test(the_rest),
        cmocka_unit_test(what_is_too_long_or_foreign_is_refused),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    sip_request_clear(&request);
    return failed;
}

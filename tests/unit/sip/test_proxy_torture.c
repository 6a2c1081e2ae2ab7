// SPDX-License-Identifier: Apache-2.0
// The torture messages of RFC 4475 and RFC 5118, each sent to a proxy: tests/golden/torture/*.sip. The first lines say
// what a message is and which statuses may come of it, or "silence"; below stands the message:
//   {via}, {via-bare}  our own topmost Via, with and without a branch, so that answers come here
//   {length}           the length of the body          {20*long}  "long" twenty times
//   \xNN               a byte                           a line's end is CR LF
// After each the proxy must still answer.
#include "proxy_fixture.h"

#include <ctype.h>
#include <glob.h>

struct torture {
    char why[256], expect[64];
    char text[16384]; // the message
    size_t len;
};

static void append(struct torture *t, const void *bytes, size_t len) {
    assert_true(t->len + len < sizeof t->text);
    memcpy(t->text + t->len, bytes, len);
    t->len += len;
}

static void append_text(struct torture *t, const char *text) {
    append(t, text, strlen(text));
}

static void append_via(struct torture *t, const struct fixture *f, const char *name, bool branch) {
    char via[256];
    snprintf(via, sizeof via, "Via: SIP/2.0/UDP 127.0.0.1:%u", f->udp_port);
    append_text(t, via);
    if (!branch)
        return;
    snprintf(via, sizeof via, ";branch=z9hG4bK-%s", name);
    append_text(t, via);
}

// "{...}" at `at`; returns what follows it.
static const char *append_braces(struct torture *t, const struct fixture *f, const char *name,
                                 const char *at) {
    const char *end = strchr(at, '}');
    char word[64];
    if (!end)
        end = at;
    snprintf(word, sizeof word, "%.*s", end > at ? (int)(end - at - 1) : 0, at + 1);
    char *star = strchr(word, '*');
    if (strcmp(word, "via") == 0 || strcmp(word, "via-bare") == 0) {
        append_via(t, f, name, strcmp(word, "via") == 0);
    } else if (strcmp(word, "length") == 0) {
        const char *body = strstr(at, "\n\n");
        size_t len = 0;
        for (const char *c = body ? body + 2 : ""; *c; c++)
            len += *c == '\n' ? 2 : 1;
        snprintf(word, sizeof word, "%zu", len);
        append_text(t, word);
    } else if (star && isdigit((unsigned char)word[0])) {
        for (long i = strtol(word, NULL, 10); i > 0; i--)
            append_text(t, star + 1);
    } else {
        append(t, at, 1); // a brace of the message's own
        return at + 1;
    }
    return end + 1;
}

static void expand(struct torture *t, const struct fixture *f, const char *name, const char *at) {
    while (*at) {
        if (*at == '{') {
            at = append_braces(t, f, name, at);
        } else if (*at == '\n') {
            append(t, "\r\n", 2);
            at++;
        } else if (strncmp(at, "\\x", 2) == 0 && isxdigit((unsigned char)at[2]) &&
                   isxdigit((unsigned char)at[3])) {
            const char digits[3] = {at[2], at[3]};
            unsigned char raw = (unsigned char)strtoul(digits, NULL, 16);
            append(t, &raw, 1);
            at += 4;
        } else {
            append(t, at++, 1);
        }
    }
}

static void load(struct torture *t, const struct fixture *f, const char *path) {
    char file_text[16384];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(t->why, sizeof t->why, file));
    t->why[strcspn(t->why, "\n")] = '\0';
    assert_int_equal(fscanf(file, "# expect: %63[^\n]", t->expect), 1);
    assert_int_equal(fgetc(file), '\n');
    size_t n = fread(file_text, 1, sizeof file_text - 1, file);
    file_text[n] = '\0';
    fclose(file);
    char name[128];
    snprintf(name, sizeof name, "%s", strrchr(path, '/') + 1);
    *strrchr(name, '.') = '\0';
    t->len = 0;
    expand(t, f, name, file_text);
}

// True when what comes is what is expected. The OPTIONS sent behind it must be answered in every case.
static bool play(struct fixture *f, const struct torture *t, char *said, size_t said_size) {
    snprintf(said, said_size, "silence");
    assert_int_equal(send(f->udp, t->text, t->len, 0), (ssize_t)t->len);
    fixture_call(f, (struct fixture_call){.method = "OPTIONS", .call_id = "alive", .branch = "alive"});
    for (;;) {
        fixture_final(f);
        if (strstr(f->message, "\r\nCall-ID: alive\r\n"))
            break;
        if (strcmp(said, "silence") != 0)
            snprintf(said, said_size, "two answers");
        else
            snprintf(said, said_size, "%.3s", f->message + strlen("SIP/2.0 "));
    }
    return strstr(t->expect, said) != NULL;
}

static void torture_messages(void **state) {
    (void)state;
    static struct torture torture;
    glob_t files;
    unsigned wrong = 0;
    assert_int_equal(glob("tests/golden/torture/*.sip", 0, NULL, &files), 0);
    assert_true(files.gl_pathc >= 60);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        struct fixture f;
        char said[32];
        fixture_start(&f, "", "", (struct proxy_limits){0});
        f.udp = fixture_udp(&f, "127.0.0.1", &f.udp_port);
        load(&torture, &f, files.gl_pathv[i]);
        if (!play(&f, &torture, said, sizeof said)) {
            print_error("%s: wanted %s, came %s\n  %s\n", files.gl_pathv[i], torture.expect, said,
                        torture.why);
            wrong++;
        }
        fixture_stop(&f);
    }
    globfree(&files);
    assert_int_equal(wrong, 0);
}

static const char invite[] =
    "INVITE sip:+96812345678@proxy;X-Business-Id=123;X-Phone-Id=abc SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK1\r\nMax-Forwards: 70\r\nFrom: \"A\" <sip:+4930@c>;tag=f\r\n"
    "To: <sip:+96812345678@proxy>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContact: <sip:a@127.0.0.1:9>\r\n"
    "Content-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n";

// Answers to them go to the discard port; what counts is that the next request is answered.
static void truncated_messages(void **state) {
    (void)state;
    struct fixture f;
    fixture_start(&f, "", ",\"InvitesPerSecond\":0", (struct proxy_limits){0});
    f.udp = fixture_udp(&f, "127.0.0.1", &f.udp_port);
    for (size_t len = 0; len < sizeof invite - 1; len++) {
        send(f.udp, invite, len, 0);
        if (len % 16 == 0)
            fixture_expect_silence(&f);
    }
    fixture_expect_silence(&f);
    fixture_stop(&f);
}

static void oversized_messages(void **state) {
    (void)state;
    struct fixture f;
    static char headers[60000];
    fixture_start(&f, "", ",\"InvitesPerSecond\":0", (struct proxy_limits){0});
    f.udp = fixture_udp(&f, "127.0.0.1", &f.udp_port);
    // One header of 50 kB, thousands of small ones, thousands of Vias, Routes, Contacts.
    static const struct {
        const char *line, *status;
    } kinds[] = {{"", "302"},
                 {"x: y\r\n", "400"}, // Session-Expires
                 {"v: SIP/2.0/UDP h\r\n", "302"},
                 {"Route: <sip:a;lr>\r\n", "302"},
                 {"m: <sip:a>,\r\n <sip:b>\r\n", "302"}};
    for (size_t kind = 0; kind < sizeof kinds / sizeof kinds[0]; kind++) {
        size_t len = 0, unit = strlen(kinds[kind].line);
        char call_id[16];
        static char text[62000];
        if (!unit) {
            len = (size_t)snprintf(headers, sizeof headers, "X-Long: %050000d\r\n", 7);
        } else {
            for (; len + unit < 50000; len += unit)
                memcpy(headers + len, kinds[kind].line, unit);
        }
        headers[len] = '\0';
        snprintf(call_id, sizeof call_id, "big-%zu", kind);
        snprintf(
            text, sizeof text,
            "INVITE sip:+96812345678@proxy SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:%u;branch=z9hG4bK%zu\r\n"
            "From: <sip:a@b>;tag=f\r\nTo: <sip:b@c>\r\nCall-ID: %s\r\nCSeq: 1 INVITE\r\n%sContent-Length: "
            "0\r\n\r\n",
            f.udp_port, kind, call_id, headers);
        fixture_send(&f, text);
        fixture_final(&f);
        assert_memory_equal(f.message + strlen("SIP/2.0 "), kinds[kind].status, 3);
    }
    fixture_stop(&f);
}

// What has a Via to answer to gets an answer.
static void unreadable_start_lines(void **state) {
    (void)state;
    static const struct {
        const char *line, *said; // "" for silence
    } cases[] = {
        {"INVITE sip:+96812345678@proxy; lr SIP/2.0", "400"},
        {"INVITE sip:2001:db8::1 SIP/2.0", "400"},
        {"INVITE  SIP/2.0", "400"},
        {"INVITE", "400"},
        {"INVITE sip:+96812345678@proxy SIP/2.0 SIP/2.0", "400"},
        {"INVITE sip:+96812345678@proxy HTTP/1.1", "505"},
        {"INVITE sip:+96812345678@proxy SIP/7.0", "505"},
        {"{}() sip:+96812345678@proxy SIP/2.0", "400"},
        {"\x7f\x02\xff", "400"},
        {"ACK sip:+96812345678@proxy; lr SIP/2.0", ""},
        {"SIP/2.0", ""}, // a response
        {"SIP/2.0 x y", ""},
    };
    struct fixture f;
    fixture_start(&f, "", "", (struct proxy_limits){0});
    f.udp = fixture_udp(&f, "127.0.0.1", &f.udp_port);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[1024];
        snprintf(text, sizeof text,
                 "%s\r\nVia: SIP/2.0/UDP 127.0.0.1:%u;branch=z9hG4bKu%zu\r\nFrom: <sip:a@b>;tag=f\r\n"
                 "To: <sip:b@c>\r\nCall-ID: unread-%zu\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n",
                 cases[i].line, f.udp_port, i, i);
        fixture_send(&f, text);
        if (!*cases[i].said) {
            fixture_expect_silence(&f);
            continue;
        }
        fixture_final(&f);
        char id[32];
        snprintf(id, sizeof id, "\r\nCall-ID: unread-%zu\r\n", i);
        if (strncmp(f.message + strlen("SIP/2.0 "), cases[i].said, 3) != 0 || !strstr(f.message, id))
            fail_msg("to \"%s\" came %s", cases[i].line, f.message);
    }
    fixture_send(&f, "INVITE\r\nCall-ID: no Via\r\n\r\n");
    fixture_send(&f, "hello\r\n\r\n");
    fixture_expect_silence(&f);
    assert_int_equal(f.ask_count, 0);
    fixture_stop(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(torture_messages),
        cmocka_unit_test(truncated_messages),
        cmocka_unit_test(oversized_messages),
        cmocka_unit_test(unreadable_start_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

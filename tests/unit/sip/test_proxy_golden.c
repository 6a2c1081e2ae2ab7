// SPDX-License-Identifier: Apache-2.0
// Golden exchanges: tests/golden/proxy/X.sip is sent to a proxy, and all that comes back compared with X.txt, where
// {port} is the caller's port and {tag} the tag that the proxy made. With IQ_GOLDEN_WRITE in the environment the .txt
// files are written instead; read the difference before committing it.
#include "proxy_fixture.h"

#include <glob.h>

static void read_file(const char *path, char *text, size_t size) {
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t n = fread(text, 1, size - 1, file);
    text[n] = '\0';
    fclose(file);
}

// `from` becomes `to` wherever it stands.
static void replace(char *text, size_t size, const char *from, const char *to) {
    for (char *at = text; (at = strstr(at, from)); at += strlen(to)) {
        size_t rest = strlen(at + strlen(from)) + 1;
        assert_true((size_t)(at - text) + strlen(to) + rest <= size);
        memmove(at + strlen(to), at + strlen(from), rest);
        memcpy(at, to, strlen(to));
    }
}

// The first line that begins with `name` loses the value of its tag.
static void hide_tag(char *text, size_t size) {
    char *to = strstr(text, "\r\nTo: "), *tag = to ? strstr(to + 2, ";tag=") : NULL;
    char *end = to ? strstr(to + 2, "\r\n") : NULL;
    if (!tag || tag > end)
        return;
    tag += strlen(";tag=");
    assert_true(strlen(text) + strlen("{tag}") < size);
    memmove(tag + strlen("{tag}"), end, strlen(end) + 1);
    memcpy(tag, "{tag}", strlen("{tag}"));
}

// What the proxy answers to `request`, in the form of the .txt files.
static void exchange(const char *request, char *out, size_t out_size) {
    struct fixture f;
    static char text[16384];
    char port[16];
    fixture_start(&f, "", "", (struct proxy_limits){0});
    f.udp = fixture_udp(&f, "127.0.0.1", &f.udp_port);
    snprintf(port, sizeof port, "%u", f.udp_port);
    snprintf(text, sizeof text, "%s", request);
    replace(text, sizeof text, "\n", "\r\n");
    replace(text, sizeof text, "{port}", port);
    fixture_send(&f, text);
    *out = '\0';
    do {
        fixture_receive(&f);
        hide_tag(f.message, sizeof f.message);
        replace(f.message, sizeof f.message, port, "{port}");
        replace(f.message, sizeof f.message, "\r\n", "\n");
        size_t used = strlen(out), more = strlen(f.message) + 1;
        assert_true(used + more <= out_size);
        memcpy(out + used, f.message, more);
    } while (strncmp(f.message, "SIP/2.0 1", 9) == 0);
    fixture_stop(&f);
}

static void golden_exchanges(void **state) {
    (void)state;
    static char request[8192], expected[8192], said[8192];
    glob_t files;
    unsigned wrong = 0;
    assert_int_equal(glob("tests/golden/proxy/*.sip", 0, NULL, &files), 0);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        char path[256];
        snprintf(path, sizeof path, "%.*s.txt", (int)(strlen(files.gl_pathv[i]) - 4), files.gl_pathv[i]);
        read_file(files.gl_pathv[i], request, sizeof request);
        exchange(request, said, sizeof said);
        if (getenv("IQ_GOLDEN_WRITE")) {
            FILE *file = fopen(path, "w");
            assert_non_null(file);
            fputs(said, file);
            fclose(file);
        }
        read_file(path, expected, sizeof expected);
        if (strcmp(said, expected) != 0) {
            print_error("%s: this came:\n%s", path, said);
            wrong++;
        }
    }
    assert_true(files.gl_pathc >= 9);
    globfree(&files);
    assert_int_equal(wrong, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(golden_exchanges)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

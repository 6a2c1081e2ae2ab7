// SPDX-License-Identifier: Apache-2.0
#include "gateway/core/log.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>
#include <uv.h>

enum { BURST = 200, THREADS = 4, LINES_EACH = 40 };

struct capture {
    FILE *file;
    int old_fd;
};

static void capture_begin(struct capture *capture) {
    capture->file = tmpfile();
    assert_non_null(capture->file);
    capture->old_fd = dup(STDERR_FILENO);
    assert_true(dup2(fileno(capture->file), STDERR_FILENO) >= 0);
}

static void capture_end(struct capture *capture) {
    dup2(capture->old_fd, STDERR_FILENO);
    close(capture->old_fd);
    rewind(capture->file);
}

// The next line as JSON, NULL at the end. Every line must be one whole object.
static json_t *capture_next(struct capture *capture) {
    char line[8192];
    if (!fgets(line, sizeof line, capture->file))
        return NULL;
    assert_int_equal(line[strlen(line) - 1], '\n');
    json_t *root = json_loads(line, 0, NULL);
    assert_true(json_is_object(root));
    return root;
}

static const char *text_of(json_t *root, const char *key) {
    return json_string_value(json_object_get(root, key));
}

static void a_line_is_one_json_object(void **state) {
    (void)state;
    struct capture capture;
    capture_begin(&capture);
    log_info("ses_1", "mod_a", "said \"%s\" \\ and\nmore\x01 %d", "it", 5);
    log_error(NULL, "mod_a", "no call");
    capture_end(&capture);
    json_t *root = capture_next(&capture);
    assert_string_equal(text_of(root, "level"), "info");
    assert_string_equal(text_of(root, "call"), "ses_1");
    assert_string_equal(text_of(root, "mod"), "mod_a");
    assert_string_equal(text_of(root, "msg"), "said \"it\" \\ and\nmore\x01 5");
    assert_int_equal(strlen(text_of(root, "ts")), strlen("2024-01-01T00:00:00.000Z"));
    json_decref(root);
    root = capture_next(&capture);
    assert_string_equal(text_of(root, "level"), "error");
    assert_null(json_object_get(root, "call"));
    json_decref(root);
    assert_null(capture_next(&capture));
    fclose(capture.file);
}

static void long_texts_stay_whole_lines(void **state) {
    (void)state;
    struct capture capture;
    char text[5000];
    capture_begin(&capture);
    memset(text, '\n', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    log_warn(text, "mod_b", "%s", text);
    memset(text, 'x', sizeof text - 1);
    log_warn(text, "mod_b", "%s", text);
    capture_end(&capture);
    for (int i = 0; i < 2; i++) {
        json_t *root = capture_next(&capture);
        assert_true(strlen(text_of(root, "msg")) > 100);
        json_decref(root);
    }
    assert_null(capture_next(&capture));
    fclose(capture.file);
}

static void levels(void **state) {
    (void)state;
    struct capture capture;
    enum log_level level = LOG_ERROR;
    assert_int_equal(log_level_parse("debug", &level), 0);
    assert_int_equal(level, LOG_DEBUG);
    assert_int_equal(log_level_parse("Information", &level), 0);
    assert_int_equal(level, LOG_INFO);
    assert_int_equal(log_level_parse("Critical", &level), 0);
    assert_int_equal(level, LOG_ERROR);
    assert_int_equal(log_level_parse("Loud", &level), -EINVAL);
    assert_int_equal(level, LOG_ERROR);
    capture_begin(&capture);
    log_debug(NULL, "mod_c", "below the default");
    log_set_level(LOG_ERROR);
    log_warn(NULL, "mod_c", "below");
    log_error(NULL, "mod_c", "shown");
    log_set_level(LOG_DEBUG);
    log_debug(NULL, "mod_c", "shown too");
    log_set_level(LOG_INFO);
    capture_end(&capture);
    json_t *root = capture_next(&capture);
    assert_string_equal(text_of(root, "msg"), "shown");
    json_decref(root);
    root = capture_next(&capture);
    assert_string_equal(text_of(root, "msg"), "shown too");
    json_decref(root);
    assert_null(capture_next(&capture));
    fclose(capture.file);
}

static void a_flood_is_limited_and_counted(void **state) {
    (void)state;
    struct capture capture;
    int sent = 0, shown = 0;
    json_int_t dropped = 0;
    capture_begin(&capture);
    while (sent < BURST * 5) {
        log_info(NULL, "flood", "line %d", sent);
        sent++;
    }
    log_info(NULL, "calm", "another module is not held back");
    capture_end(&capture);
    json_t *root;
    int calm = 0;
    while ((root = capture_next(&capture))) {
        calm += strcmp(text_of(root, "mod"), "calm") == 0;
        shown += strcmp(text_of(root, "mod"), "flood") == 0;
        dropped += json_integer_value(json_object_get(root, "dropped"));
        json_decref(root);
    }
    assert_int_equal(calm, 1);
    assert_true(shown >= BURST);
    assert_true(shown < sent);
    assert_true(dropped <= sent - shown);
    fclose(capture.file);
}

static void write_lines(void *arg) {
    const char *module = arg;
    for (int i = 0; i < LINES_EACH; i++)
        log_info("ses_2", module, "line %d", i);
}

static void threads_never_mix_lines(void **state) {
    (void)state;
    static char modules[THREADS][8] = {"t0", "t1", "t2", "t3"};
    struct capture capture;
    uv_thread_t threads[THREADS];
    capture_begin(&capture);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(uv_thread_create(&threads[i], write_lines, modules[i]), 0);
    for (int i = 0; i < THREADS; i++)
        uv_thread_join(&threads[i]);
    capture_end(&capture);
    int lines = 0;
    for (json_t *root; (root = capture_next(&capture)); lines++)
        json_decref(root);
    assert_int_equal(lines, THREADS * LINES_EACH);
    fclose(capture.file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_one_json_object),
        cmocka_unit_test(long_texts_stay_whole_lines),
        cmocka_unit_test(levels),
        cmocka_unit_test(a_flood_is_limited_and_counted),
        cmocka_unit_test(threads_never_mix_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

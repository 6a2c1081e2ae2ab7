// SPDX-License-Identifier: Apache-2.0
#include "gateway/core/conf.h"
#include "gateway/core/err.h"
#include "gateway/core/fds.h"
#include "gateway/core/log.h"
#include "gateway/gateway.h"
#include "gateway/options.h"
#include "webrtc/dtls_mem.h"

#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

struct program {
    const char *config;
    struct gateway *gateway;
    int mem_err; // of dtls_mem_install
    uv_signal_t on_term, on_int, on_hup;
};

static void on_stop_signal(uv_signal_t *handle, int number) {
    struct program *program = handle->data;
    log_info(NULL, "main", "%s", number == SIGTERM ? "SIGTERM" : "SIGINT");
    gateway_stop(program->gateway);
}

static void on_reload_signal(uv_signal_t *handle, int number) {
    (void)number;
    struct program *program = handle->data;
    struct conf_report report = {.out = stderr};
    struct conf *conf = NULL;
    if (conf_load(&conf, program->config, environ, &report) != 0) {
        log_error(NULL, "main", "SIGHUP: %s has %zu errors; the old configuration stays", program->config,
                  report.errors);
        return;
    }
    gateway_reload(program->gateway, conf);
}

// Before anything starts: a reload asked for meanwhile must not kill the program, it waits for the loop.
static void watch_signals(struct program *program, uv_loop_t *loop) {
    signal(SIGPIPE, SIG_IGN);
    uv_signal_init(loop, &program->on_term);
    uv_signal_init(loop, &program->on_int);
    uv_signal_init(loop, &program->on_hup);
    program->on_term.data = program->on_int.data = program->on_hup.data = program;
    uv_signal_start(&program->on_term, on_stop_signal, SIGTERM);
    uv_signal_start(&program->on_int, on_stop_signal, SIGINT);
    uv_signal_start(&program->on_hup, on_reload_signal, SIGHUP);
    // They alone must not keep the loop alive when the gateway has closed.
    uv_signal_t *const signals[] = {&program->on_term, &program->on_int, &program->on_hup};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        uv_unref((uv_handle_t *)signals[i]);
}

static int run(struct program *program, struct conf *conf) {
    enum log_level level;
    if (log_level_parse(conf->log_level, &level) == 0)
        log_set_level(level);
    if (program->mem_err)
        log_info(NULL, "main",
                 "a browser's call takes 20 kB more: OpenSSL's memory cannot be looked after (%s)",
                 err_name(program->mem_err));
    uv_loop_t *loop = uv_default_loop();
    watch_signals(program, loop);
    fds_raise_limit();
    struct err_text err = {""};
    if (gateway_start(&program->gateway, loop, conf, &err) != 0) {
        fprintf(stderr, "iqra-gateway: %s\n", err.text);
        return 1;
    }
    log_info(NULL, "main", "iqra-gateway " IQ_VERSION " is ready: HTTP on %s, port %u",
             conf->gateway.http_listen, gateway_http_port(program->gateway));
    uv_run(loop, UV_RUN_DEFAULT);
    log_info(NULL, "main", "stopped");
    gateway_free(program->gateway);
    return 0;
}

// What is large and short-lived (an SDP being read, an agent's speech that came in one burst) is given back to the
// system at once. In the heap, whatever is made meanwhile for the whole call would lie behind it, and each call would
// leave a hole that the next one does not fit in.
static void tune_heap(void) {
    enum { LARGE = 60 * 1024 };
    mallopt(M_MMAP_THRESHOLD, LARGE);
}

int main(int argc, char **argv) {
    tune_heap();
    // Static, so that a start that failed half-way leaves nothing unreachable behind for the leak checker.
    static struct program program;
    program.mem_err = dtls_mem_install();
    struct options options;
    if (options_parse(argc, argv, &options) != 0)
        return 2;
    if (options.action == OPTIONS_HELP || options.action == OPTIONS_VERSION) {
        if (options.action == OPTIONS_HELP)
            options_help(stdout);
        else
            puts("iqra-gateway " IQ_VERSION);
        return 0;
    }
    struct conf_report report = {.out = stderr};
    struct conf *conf = NULL;
    if (conf_load(&conf, options.config, environ, &report) != 0) {
        fprintf(stderr, "iqra-gateway: %s cannot be used: %zu error%s, %zu warning%s\n", options.config,
                report.errors, report.errors == 1 ? "" : "s", report.warnings,
                report.warnings == 1 ? "" : "s");
        return 1;
    }
    program.config = options.config;
    if (options.action == OPTIONS_RUN)
        return run(&program, conf);
    int err = options.action == OPTIONS_PRINT_CONFIG ? conf_print(conf, stdout) : 0;
    if (options.action == OPTIONS_CHECK)
        printf("%s is valid (%zu warning%s)\n", options.config, report.warnings,
               report.warnings == 1 ? "" : "s");
    conf_free(conf);
    return err ? 1 : 0;
}

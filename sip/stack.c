// SPDX-License-Identifier: Apache-2.0
#include "sip/stack.h"

#include "gateway/core/log.h"
#include "sip/connections.h"
#include "sip/listen.h"
#include "sip/proxy.h"
#include "sip/uas.h"

#include <sofia-sip/su.h>
#include <sofia-sip/su_log.h>
#include <sofia-sip/su_wait.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <uv.h>

enum { MAILBOX_CAPACITY = 16384 };

// To ourselves, from the functions that any thread may call.
enum { STACK_SET_CONF = 2100, STACK_DRAIN, STACK_STOP };

struct sip_stack {
    uv_thread_t thread;
    uv_sem_t started;
    int start_err;
    struct err_text start_text;
    struct mailbox *ctl;     // borrowed
    struct mailbox *mailbox; // what comes in
    // From here on the SIP thread's.
    const struct conf *conf; // a hold of it
    su_root_t *root;
    int mailbox_index;   // in root
    struct proxy *proxy; // NULL without the role
    struct uas *uas;     // likewise
};

static int post_ctl(struct mail mail, void *arg) {
    struct sip_stack *stack = arg;
    return mailbox_post(stack->ctl, mail);
}

static void free_conf(void *conf) {
    conf_free(conf);
}

static void take_conf(struct sip_stack *stack, struct mail *mail) {
    const struct conf *old = stack->conf;
    stack->conf = mail->data;
    connections_set_conf(stack->conf);
    mail->data = NULL;
    if (stack->proxy)
        proxy_set_conf(stack->proxy, stack->conf);
    if (stack->uas)
        uas_set_conf(stack->uas, stack->conf);
    conf_free(old);
}

static void on_closed(void *arg) {
    struct sip_stack *stack = arg;
    su_root_break(stack->root);
}

static void on_mail(struct mail *mail, void *arg) {
    struct sip_stack *stack = arg;
    switch (mail->type) {
    case STACK_SET_CONF:
        take_conf(stack, mail);
        break;
    case STACK_DRAIN:
        if (stack->proxy)
            proxy_drain(stack->proxy);
        if (stack->uas)
            uas_drain(stack->uas);
        break;
    case STACK_STOP:
        if (stack->uas)
            uas_close(stack->uas, on_closed, stack);
        else
            su_root_break(stack->root);
        break;
    case SIP_ROUTED:
        if (stack->proxy)
            proxy_mail(stack->proxy, mail);
        break;
    default:
        if (stack->uas)
            uas_mail(stack->uas, mail);
        break;
    }
}

static int on_readable(su_root_magic_t *magic, su_wait_t *wait, su_wakeup_arg_t *arg) {
    struct sip_stack *stack = arg;
    (void)magic;
    (void)wait;
    mailbox_deliver(stack->mailbox);
    return 0;
}

static int watch_mailbox(struct sip_stack *stack) {
    su_wait_t wait[1];
    if (su_wait_create(wait, mailbox_fd(stack->mailbox), SU_WAIT_IN) != 0)
        return -errno;
    stack->mailbox_index = su_root_register(stack->root, wait, on_readable, stack, su_pri_normal);
    if (stack->mailbox_index > 0)
        return 0;
    su_wait_destroy(wait);
    return -ENOMEM;
}

static int start_proxy(struct sip_stack *stack, const char *tls_folder) {
    struct proxy_config config = {.root = stack->root,
                                  .conf = stack->conf,
                                  .tls_folder = tls_folder,
                                  .post = post_ctl,
                                  .post_arg = stack};
    if (!(stack->conf->gateway.roles & CONF_ROLE_PROXY) || !stack->conf->sip.proxy_listen.count)
        return 0;
    return proxy_new(&stack->proxy, &config, &stack->start_text);
}

static int start_uas(struct sip_stack *stack, const char *tls_folder) {
    struct uas_config config = {.root = stack->root,
                                .conf = stack->conf,
                                .tls_folder = tls_folder,
                                .post = post_ctl,
                                .post_arg = stack};
    if (!(stack->conf->gateway.roles & CONF_ROLE_MEDIA) || !stack->conf->sip.media_listen.count)
        return 0;
    return uas_new(&stack->uas, &config, &stack->start_text);
}

static int start_parts(struct sip_stack *stack) {
    const struct conf *conf = stack->conf;
    char *tls_folder = NULL;
    int err = 0;
    if (listen_has_tls(&conf->sip.proxy_listen) || listen_has_tls(&conf->sip.media_listen))
        err = listen_tls_folder_new(&tls_folder, conf, &stack->start_text);
    if (!err)
        err = start_proxy(stack, tls_folder);
    if (!err)
        err = start_uas(stack, tls_folder);
    listen_tls_folder_free(tls_folder);
    return err;
}

static int set_up(struct sip_stack *stack) {
    stack->root = su_root_create(stack);
    if (!stack->root)
        return err_set(&stack->start_text, -ENOMEM, "out of memory");
    su_root_threading(stack->root, 0); // sofia's helpers on this thread too
    int err = watch_mailbox(stack);
    if (err)
        return err_set(&stack->start_text, err, "the SIP thread cannot be woken (%s)", err_name(err));
    err = connections_start(stack->root, stack->conf, CONNECTIONS_SILENCE_MS);
    if (err)
        return err_set(&stack->start_text, err, "out of memory");
    return start_parts(stack);
}

static void tear_down(struct sip_stack *stack) {
    proxy_free(stack->proxy);
    uas_free(stack->uas);
    connections_stop();
    mailbox_close(stack->mailbox);
    if (stack->mailbox_index > 0)
        su_root_deregister(stack->root, stack->mailbox_index);
    if (stack->root)
        su_root_destroy(stack->root);
}

static _Thread_local bool on_sip_thread;

// Stands before the C library's, for libraries too. sofia rounds the time to its next timer down to whole milliseconds,
// and would ask without waiting, over and over, through the last one: half of the thread's work while calls begin.
__attribute__((visibility("default"))) int epoll_wait(int fd, struct epoll_event *events, int most,
                                                      int timeout_ms) {
    return epoll_pwait(fd, events, most, on_sip_thread && timeout_ms == 0 ? 1 : timeout_ms, NULL);
}

static void stack_main(void *arg) {
    struct sip_stack *stack = arg;
    on_sip_thread = true;
    prctl(PR_SET_NAME, "sip");
    int err = set_up(stack);
    stack->start_err = err;
    uv_sem_post(&stack->started);
    if (!err)
        su_root_run(stack->root);
    tear_down(stack);
}

// What the library has to say: of interest to those who look for a fault in it.
static void on_library_log(void *stream, char const *format, va_list args) {
    char line[512];
    (void)stream;
    int n = vsnprintf(line, sizeof line, format, args);
    size_t len = n < 0 ? 0 : strcspn(line, "\n");
    log_debug(NULL, "sofia", "%.*s", (int)len, line);
}

static void init_library(void) {
    su_init();
    su_log_redirect(NULL, on_library_log, NULL);
}

int sip_stack_start(struct sip_stack **out, const struct sip_stack_config *config, struct err_text *err) {
    static uv_once_t once = UV_ONCE_INIT;
    uv_once(&once, init_library);
    struct sip_stack *stack = calloc(1, sizeof *stack);
    if (!stack)
        return err_set(err, -ENOMEM, "out of memory");
    stack->conf = conf_hold(config->conf);
    stack->ctl = config->ctl;
    int code = mailbox_new_fd(&stack->mailbox, MAILBOX_CAPACITY, on_mail, stack);
    if (code)
        goto out_free;
    code = uv_sem_init(&stack->started, 0);
    if (code)
        goto out_mailbox;
    code = uv_thread_create(&stack->thread, stack_main, stack);
    if (code)
        goto out_sem;
    uv_sem_wait(&stack->started);
    code = stack->start_err;
    if (!code) {
        *out = stack;
        return 0;
    }
    if (err)
        *err = stack->start_text;
    sip_stack_join(stack);
    return code;

out_sem:
    uv_sem_destroy(&stack->started);
out_mailbox:
    mailbox_close(stack->mailbox);
    mailbox_free(stack->mailbox);
out_free:
    conf_free(stack->conf);
    free(stack);
    return err_set(err, code, "the SIP thread cannot be started (%s)", err_name(code));
}

int sip_stack_post(struct sip_stack *stack, enum sip_mail type, uint64_t to, void *data,
                   void (*free_data)(void *)) {
    // What ends or changes a call may not be lost; a verdict that is comes to the caller as one that is late.
    bool vital = type != SIP_ROUTED && type != SIP_PROGRESS;
    return mailbox_post(
        stack->mailbox,
        (struct mail){
            .to = to, .type = (uint32_t)type, .data = data, .free_data = free_data, .vital = vital});
}

int sip_stack_set_conf(struct sip_stack *stack, const struct conf *conf) {
    void *held = (void *)(uintptr_t)conf_hold(conf);
    return mailbox_post(
        stack->mailbox,
        (struct mail){.type = STACK_SET_CONF, .data = held, .free_data = free_conf, .vital = true});
}

void sip_stack_drain(struct sip_stack *stack) {
    mailbox_post(stack->mailbox, (struct mail){.type = STACK_DRAIN, .vital = true});
}

void sip_stack_stop(struct sip_stack *stack) {
    mailbox_post(stack->mailbox, (struct mail){.type = STACK_STOP, .vital = true});
}

void sip_stack_join(struct sip_stack *stack) {
    uv_thread_join(&stack->thread);
    mailbox_free(stack->mailbox);
    uv_sem_destroy(&stack->started);
    conf_free(stack->conf);
    free(stack);
}

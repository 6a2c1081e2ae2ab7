// SPDX-License-Identifier: Apache-2.0
//
//   prepare, query -> uv_poll per descriptor, uv_timer for the deadline -> (loop waits) -> check, dispatch
//   and again
//
// The library closes sockets whenever it likes, and a closed number may come back as another socket within
// the same dispatch. Therefore each uv_poll watches a duplicate of the descriptor: it stays what it was until
// we let it go, and libuv never sees a number that somebody else has closed. Whether a number still means the
// same socket is told by its inode, looked at only at deadlines and when touched, so that a media packet
// costs no call of that.
#include "webrtc/ice_glib.h"

#include "gateway/core/err.h"
#include "gateway/core/log.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FIRST_FDS = 16, MAX_FDS = 256 };

struct watch {
    uv_poll_t poll;
    struct ice_glib *bridge;
    int fd;      // the library's number
    int own_fd;  // our duplicate, owned
    ino_t inode; // of the socket behind it
    gushort events;
    bool stopped; // libuv stops a handle that reports an error
};

struct ice_glib {
    uv_loop_t *loop;
    GMainContext *context; // owns a reference; acquired by this thread
    void (*on_ran)(void *arg);
    void *arg;
    uv_timer_t timer;
    uint64_t deadline_ms; // of the armed timer, in loop time; UINT64_MAX when not armed
    GPollFD *fds;         // as queried; watches[i] watches fds[i]
    struct watch **watches;
    int count, capacity;
    guint seen_id; // the newest source known
    bool dispatching, touched, closing;
    unsigned open_handles;
    void (*on_closed)(void *arg);
    void *closed_arg;
};

static void bridge_free(struct ice_glib *bridge) {
    if (bridge->context) {
        g_main_context_release(bridge->context);
        g_main_context_unref(bridge->context);
    }
    free(bridge->fds);
    free(bridge->watches);
    free(bridge);
}

static void handle_gone(struct ice_glib *bridge) {
    if (--bridge->open_handles || !bridge->closing)
        return;
    void (*on_closed)(void *) = bridge->on_closed;
    void *arg = bridge->closed_arg;
    bridge_free(bridge);
    on_closed(arg);
}

static void on_watch_closed(uv_handle_t *handle) {
    struct watch *watch = handle->data;
    struct ice_glib *bridge = watch->bridge;
    free(watch);
    handle_gone(bridge);
}

static void watch_close(struct watch *watch) {
    if (!watch)
        return;
    uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
    close(watch->own_fd); // libuv has forgotten it already; only the handle's memory waits for the loop
}

static void bridge_run(struct ice_glib *bridge, int index, gushort revents);

static void on_ready(uv_poll_t *poll, int status, int events) {
    struct watch *watch = poll->data;
    struct ice_glib *bridge = watch->bridge;
    gushort revents = 0;
    if (status < 0) {
        watch->stopped = true;
        revents = G_IO_IN | G_IO_ERR | G_IO_HUP;
    }
    if (events & UV_READABLE)
        revents |= G_IO_IN;
    if (events & UV_WRITABLE)
        revents |= G_IO_OUT;
    if (events & UV_PRIORITIZED)
        revents |= G_IO_PRI;
    int index = 0;
    while (index < bridge->count && bridge->watches[index] != watch)
        index++;
    bridge_run(bridge, index, revents);
}

static int watch_start(struct watch *watch, gushort events) {
    int want = (events & G_IO_IN ? UV_READABLE : 0) | (events & G_IO_OUT ? UV_WRITABLE : 0) |
               (events & G_IO_PRI ? UV_PRIORITIZED : 0);
    watch->events = events;
    watch->stopped = false;
    return want ? uv_poll_start(&watch->poll, want, on_ready) : uv_poll_stop(&watch->poll);
}

static ino_t inode_of(int fd) {
    struct stat st;
    return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

static struct watch *watch_new(struct ice_glib *bridge, const GPollFD *fd) {
    struct watch *watch = calloc(1, sizeof *watch);
    if (!watch)
        return NULL;
    watch->own_fd = fcntl(fd->fd, F_DUPFD_CLOEXEC, 0);
    if (watch->own_fd < 0 || uv_poll_init(bridge->loop, &watch->poll, watch->own_fd) != 0)
        goto out;
    watch->poll.data = watch;
    watch->bridge = bridge;
    watch->fd = fd->fd;
    watch->inode = inode_of(watch->own_fd);
    bridge->open_handles++;
    if (watch_start(watch, fd->events) == 0)
        return watch;
    watch_close(watch);
    return NULL;

out:
    if (watch->own_fd >= 0)
        close(watch->own_fd);
    free(watch);
    return NULL;
}

static bool watch_matches(const struct watch *watch, const GPollFD *fd, bool verify) {
    return watch && watch->fd == fd->fd && (!verify || watch->inode == inode_of(fd->fd));
}

// Brings the watches in line with the descriptors just queried. Both are sorted by descriptor, for GLib keeps
// its records so; a watch that is not wanted any more is closed, a new one opened in its place.
static void watches_sync(struct ice_glib *bridge, int wanted, bool verify) {
    struct watch *old[MAX_FDS];
    int old_count = bridge->count, next = 0;
    for (int i = 0; i < old_count; i++)
        old[i] = bridge->watches[i];
    for (int i = 0; i < wanted; i++) {
        const GPollFD *fd = &bridge->fds[i];
        while (next < old_count && (!old[next] || old[next]->fd < fd->fd))
            watch_close(old[next++]);
        if (next < old_count && watch_matches(old[next], fd, verify)) {
            bridge->watches[i] = old[next++];
            if (bridge->watches[i]->events != fd->events || bridge->watches[i]->stopped)
                watch_start(bridge->watches[i], fd->events);
            continue;
        }
        bridge->watches[i] = watch_new(bridge, fd);
        if (!bridge->watches[i])
            log_warn(NULL, "ice", "cannot watch a socket: out of descriptors or memory");
    }
    while (next < old_count)
        watch_close(old[next++]);
    bridge->count = wanted;
}

// The usual case after a media packet: nothing has changed.
static bool watches_current(const struct ice_glib *bridge, int wanted) {
    if (wanted != bridge->count)
        return false;
    for (int i = 0; i < wanted; i++) {
        const struct watch *watch = bridge->watches[i];
        if (!watch || watch->fd != bridge->fds[i].fd || watch->events != bridge->fds[i].events ||
            watch->stopped)
            return false;
    }
    return true;
}

static int bridge_grow(struct ice_glib *bridge, int capacity) {
    GPollFD *fds = realloc(bridge->fds, (size_t)capacity * sizeof *fds);
    if (!fds)
        return -ENOMEM;
    bridge->fds = fds;
    struct watch **watches = realloc(bridge->watches, (size_t)capacity * sizeof(struct watch *));
    if (!watches)
        return -ENOMEM;
    bridge->watches = watches;
    bridge->capacity = capacity;
    return 0;
}

static void on_deadline(uv_timer_t *timer) {
    struct ice_glib *bridge = timer->data;
    bridge->deadline_ms = UINT64_MAX;
    bridge->touched = true;
    bridge_run(bridge, -1, 0);
}

static void deadline_sync(struct ice_glib *bridge, int timeout_ms) {
    uint64_t deadline_ms = UINT64_MAX;
    if (timeout_ms >= 0)
        deadline_ms = uv_now(bridge->loop) + (uint64_t)timeout_ms;
    if (deadline_ms == bridge->deadline_ms)
        return;
    bridge->deadline_ms = deadline_ms;
    if (timeout_ms < 0)
        uv_timer_stop(&bridge->timer);
    else
        uv_timer_start(&bridge->timer, on_deadline, (uint64_t)timeout_ms, 0);
}

// GLib takes the descriptors of a source out of the context while it is dispatched and puts them back, with a
// write to its wake-up descriptor each time, lest it recurse: two calls and half a turn of the loop per
// packet. Nothing recurses here, so each new source is told that it may. Their ids count up, and a source of
// ours tells how far.
static void sources_unblock(struct ice_glib *bridge) {
    GSource *probe = g_idle_source_new();
    guint newest = g_source_attach(probe, bridge->context);
    g_source_destroy(probe);
    g_source_unref(probe);
    for (guint id = bridge->seen_id + 1; id < newest; id++) {
        GSource *source = g_main_context_find_source_by_id(bridge->context, id);
        if (source)
            g_source_set_can_recurse(source, TRUE);
    }
    bridge->seen_id = newest;
}

static void bridge_sync(struct ice_glib *bridge) {
    gint priority, timeout_ms;
    if (bridge->touched)
        sources_unblock(bridge);
    g_main_context_prepare(bridge->context, &priority);
    // Of all priorities, or a ready source of a higher one would hide descriptors and they would be watched
    // anew each time.
    int wanted = g_main_context_query(bridge->context, G_MAXINT, &timeout_ms, bridge->fds, bridge->capacity);
    if (wanted > bridge->capacity && wanted <= MAX_FDS && bridge_grow(bridge, wanted) == 0)
        wanted = g_main_context_query(bridge->context, G_MAXINT, &timeout_ms, bridge->fds, bridge->capacity);
    if (wanted > bridge->capacity)
        wanted = bridge->capacity;
    bool verify = bridge->touched;
    bridge->touched = false;
    if (verify || !watches_current(bridge, wanted))
        watches_sync(bridge, wanted, verify);
    deadline_sync(bridge, timeout_ms);
}

static void bridge_run(struct ice_glib *bridge, int index, gushort revents) {
    for (int i = 0; i < bridge->count; i++)
        bridge->fds[i].revents = i == index ? revents : 0;
    bridge->dispatching = true;
    if (g_main_context_check(bridge->context, G_MAXINT, bridge->fds, bridge->count))
        g_main_context_dispatch(bridge->context);
    bridge->dispatching = false;
    bridge_sync(bridge);
    bridge->on_ran(bridge->arg);
}

int ice_glib_new(struct ice_glib **out, uv_loop_t *loop, void (*on_ran)(void *arg), void *arg) {
    struct ice_glib *bridge = calloc(1, sizeof *bridge);
    if (!bridge)
        return -ENOMEM;
    bridge->loop = loop;
    bridge->on_ran = on_ran;
    bridge->arg = arg;
    bridge->deadline_ms = UINT64_MAX;
    // Acquired for good: GLib then signals nothing when this thread adds or unblocks a source, as it does
    // with every packet.
    bridge->context = g_main_context_new();
    g_main_context_acquire(bridge->context);
    int err = bridge_grow(bridge, FIRST_FDS);
    if (!err)
        err = uv_timer_init(loop, &bridge->timer);
    if (err) {
        bridge_free(bridge);
        return err;
    }
    bridge->timer.data = bridge;
    bridge->open_handles = 1;
    bridge_sync(bridge);
    *out = bridge;
    return 0;
}

static void on_timer_closed(uv_handle_t *handle) {
    handle_gone(handle->data);
}

void ice_glib_close(struct ice_glib *bridge, void (*on_closed)(void *arg), void *arg) {
    bridge->closing = true;
    bridge->on_closed = on_closed;
    bridge->closed_arg = arg;
    for (int i = 0; i < bridge->count; i++)
        watch_close(bridge->watches[i]);
    bridge->count = 0;
    uv_close((uv_handle_t *)&bridge->timer, on_timer_closed);
}

GMainContext *ice_glib_context(struct ice_glib *bridge) {
    return bridge->context;
}

void ice_glib_touch(struct ice_glib *bridge) {
    bridge->touched = true;
    if (bridge->closing || bridge->dispatching)
        return; // bridge_run looks again by itself
    bridge->deadline_ms = uv_now(bridge->loop);
    uv_timer_start(&bridge->timer, on_deadline, 0, 0);
}

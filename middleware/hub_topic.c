// SPDX-License-Identifier: Apache-2.0
// Who waits for which request id. What happens while the desk is being asked about an id makes its answer old,
// so it is asked again: the last thing a client hears is never older than something it heard before.
#include "middleware/hub_impl.h"

#include "gateway/core/log.h"
#include "gateway/core/metrics.h"

#include <stdlib.h>
#include <string.h>

struct hub_reg {
    LIST_ENTRY(hub_reg) of_conn, of_topic;
    struct hub_conn *conn;
    struct hub_topic *topic;
    bool pending;        // its completion is still to come
    char *invocation_id; // NULL: no completion is wanted
    uint64_t asked_ms;
    // The last event of each kind that this client got.
    struct {
        uint64_t target, event;
    } last[HUB_TARGETS_MAX];
    size_t last_next;
};

struct hub_query {
    struct hub *hub;
    struct hub_topic *topic; // NULL when it is gone
};

struct hub_topic {
    struct hub_entry entry;
    TAILQ_ENTRY(hub_topic) of_stale;
    struct hub *hub;
    LIST_HEAD(, hub_reg) regs;
    unsigned reg_count, known_count; // all of them; those whose completion is out
    bool stale;                      // in the list
    bool back;                       // on_back was said, on_left is due
    struct hub_query *query;         // under way
    bool dirty;                      // an event came meanwhile
    unsigned tries;
    uint64_t retry_ms; // 0 = not to be asked again
    char id[HUB_ID_MAX + 1];
};

// An event as it goes out, and what it is known by.
struct line {
    char *record;
    uint64_t target, event;
};

// ---- events out

static int line_make(struct line *line, const struct hub *hub, const char *target, const json_t *args) {
    char *text = json_dumps(args, JSON_COMPACT | JSON_SORT_KEYS);
    char *record = signalr_invocation(target, args);
    if (!text || !record) {
        free(text);
        free(record);
        return -ENOMEM;
    }
    line->record = record;
    line->target = hub_hash(hub->topics.seed, target, strlen(target));
    line->event = hub_hash(line->target, text, strlen(text));
    free(text);
    return 0;
}

static void reg_tell(struct hub_reg *reg, const struct line *line) {
    size_t i = 0;
    while (i < HUB_TARGETS_MAX && reg->last[i].target != line->target)
        i++;
    if (i == HUB_TARGETS_MAX)
        i = reg->last_next++ % HUB_TARGETS_MAX;
    else if (reg->last[i].event == line->event)
        return; // it has that already
    reg->last[i].target = line->target;
    reg->last[i].event = line->event;
    metric_add(METRIC_HUB_EVENTS, 1);
    hub_conn_say(reg->conn, line->record);
}

static void topic_tell(struct hub_topic *topic, const char *target, const json_t *args) {
    struct line line;
    struct hub_reg *reg;
    if (line_make(&line, topic->hub, target, args) != 0)
        return;
    LIST_FOREACH(reg, &topic->regs, of_topic) {
        if (!reg->pending)
            reg_tell(reg, &line);
    }
    free(line.record);
}

// ---- life

static struct hub_topic *topic_of(struct hub *hub, const char *id) {
    struct hub_topic *topic = hub_map_get(&hub->topics, id);
    if (topic)
        return topic;
    topic = calloc(1, sizeof *topic);
    if (!topic)
        return NULL;
    topic->hub = hub;
    LIST_INIT(&topic->regs);
    memcpy(topic->id, id, strlen(id) + 1);
    topic->entry.name = topic->id;
    hub_map_put(&hub->topics, &topic->entry);
    return topic;
}

static void topic_free(struct hub_topic *topic) {
    struct hub *hub = topic->hub;
    if (topic->query)
        topic->query->topic = NULL;
    if (topic->stale)
        TAILQ_REMOVE(&hub->stale, topic, of_stale);
    hub_map_remove(&hub->topics, &topic->entry);
    free(topic);
}

static void reg_free(struct hub_reg *reg) {
    LIST_REMOVE(reg, of_conn);
    LIST_REMOVE(reg, of_topic);
    reg->conn->reg_count--;
    reg->topic->reg_count--;
    reg->topic->known_count -= !reg->pending;
    free(reg->invocation_id);
    free(reg);
}

// After a registration is gone. The topic may be gone as well then.
static void topic_look(struct hub_topic *topic) {
    struct hub *hub = topic->hub;
    if (!topic->known_count && topic->back) {
        topic->back = false;
        if (!hub->closing)
            hub->events.on_left(topic->id, hub->events.arg);
    }
    if (!topic->reg_count)
        topic_free(topic);
}

void hub_unregister_all(struct hub_conn *conn) {
    for (struct hub_reg *reg = LIST_FIRST(&conn->regs), *next; reg; reg = next) {
        struct hub_topic *topic = reg->topic;
        next = LIST_NEXT(reg, of_conn);
        reg_free(reg);
        topic_look(topic);
    }
}

// ---- asking the desk

static void on_known(int err, const struct hub_event *events, size_t count, void *arg);

// `topic` may be gone afterwards: the desk may answer at once.
static void topic_ask(struct hub_topic *topic) {
    struct hub *hub = topic->hub;
    if (!hub->listening || topic->query)
        return; // asked when events are heard; or the answer that comes will do
    struct hub_query *query = calloc(1, sizeof *query);
    if (!query) {
        topic->retry_ms = hub->now_ms + HUB_RETRY_MS;
        return;
    }
    query->hub = hub;
    query->topic = topic;
    topic->query = query;
    topic->dirty = false;
    topic->retry_ms = 0;
    hub->queries++;
    hub->events.on_register(topic->id, on_known, query, hub->events.arg);
}

// Not all at once, since the desk's questions to Redis are bounded.
static void ask_stale(struct hub *hub) {
    struct hub_topic *topic;
    if (hub->asking)
        return;
    hub->asking = true;
    while (hub->queries < HUB_QUERIES_MAX && (topic = TAILQ_FIRST(&hub->stale))) {
        TAILQ_REMOVE(&hub->stale, topic, of_stale);
        topic->stale = false;
        topic_ask(topic);
    }
    hub->asking = false;
}

static void make_stale(void *object, void *arg) {
    struct hub_topic *topic = object;
    struct hub *hub = arg;
    if (topic->query)
        topic->dirty = true; // asked again when its answer is there
    if (topic->query || topic->stale)
        return;
    topic->stale = true;
    TAILQ_INSERT_TAIL(&hub->stale, topic, of_stale);
}

void hub_topics_listen(struct hub *hub) {
    hub->listening = true;
    hub_map_each(&hub->topics, make_stale, hub);
    ask_stale(hub);
}

static const char *refusal(int err) {
    return err == -ENOENT ? "The request is not known."
                          : "The request cannot be looked up now. Please try again.";
}

// What the desk says, to one registration.
static void reg_take(struct hub_reg *reg, int err) {
    struct hub *hub = reg->topic->hub;
    if (!reg->pending && err == -ENOENT) {
        hub_conn_close(reg->conn, "The request is not known any more.", false);
        return;
    }
    if (!reg->pending) {
        if (err)
            reg->topic->retry_ms = hub->now_ms + HUB_RETRY_MS;
        return;
    }
    hub_complete(reg->conn, reg->invocation_id, err ? refusal(err) : NULL);
    if (!err) {
        reg->pending = false;
        reg->topic->known_count++;
        return;
    }
    if (err == -ENOENT)
        hub_bucket_take(&reg->conn->address->registers, hub->now_ms, HUB_ADDRESS_BURST, HUB_ADDRESS_PER_S,
                        HUB_UNKNOWN_COST);
    reg_free(reg);
}

static void topic_take(struct hub_topic *topic, int err, const struct hub_event *events, size_t count) {
    struct hub *hub = topic->hub;
    struct hub_reg *reg, *next;
    // What they waited for is lost: that is said before their connections are closed.
    for (size_t i = 0; err == -ENOENT && i < count; i++)
        topic_tell(topic, events[i].target, events[i].args);
    for (reg = LIST_FIRST(&topic->regs); reg; reg = next) {
        next = LIST_NEXT(reg, of_topic);
        reg_take(reg, err);
    }
    for (size_t i = 0; !err && i < count; i++)
        topic_tell(topic, events[i].target, events[i].args);
    bool first = !err && !topic->back;
    if (first) {
        topic->back = true;
        hub->events.on_back(topic->id, hub->events.arg);
    }
    topic_look(topic);
}

static void on_known(int err, const struct hub_event *events, size_t count, void *arg) {
    struct hub_query *query = arg;
    struct hub *hub = query->hub;
    struct hub_topic *topic = query->topic;
    free(query);
    hub->queries--;
    if (topic)
        topic->query = NULL;
    if (topic && topic->dirty && ++topic->tries < HUB_QUERY_TRIES) {
        topic_ask(topic);
    } else if (topic) {
        topic->tries = 0;
        topic_take(topic, err, events, count);
    }
    if (hub->closing)
        hub_closed_maybe(hub);
    else
        ask_stale(hub);
}

// ---- events in

static void take_event(struct hub_topic *topic, const json_t *root) {
    const char *target = json_string_value(json_object_get(root, "target"));
    const json_t *args = json_object_get(root, "arguments");
    if (!target || !json_is_array(args)) {
        log_warn(NULL, "hub", "an event without target or arguments");
        return;
    }
    topic->dirty = topic->dirty || topic->query;
    topic_tell(topic, target, args);
}

void hub_topics_event(struct hub *hub, const char *message, size_t len) {
    struct span body = span_of(message, len), line;
    char id[HUB_ID_MAX + 1];
    if (!span_until(&body, '\n', &line) || !span_copy(line, id, sizeof id))
        return;
    struct hub_topic *topic = hub_map_get(&hub->topics, id);
    if (!topic)
        return;
    json_t *root = json_loadb((const char *)body.ptr, body.len, 0, NULL);
    take_event(topic, root);
    json_decref(root);
}

// ---- Register

// The one argument, when it can be an id.
static const char *id_of(const struct signalr_message *message) {
    const json_t *value = json_array_get(message->arguments, 0);
    const char *id = json_string_value(value);
    size_t len = json_string_length(value);
    if (json_array_size(message->arguments) != 1 || !id || !len || len > HUB_ID_MAX)
        return NULL;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)id[i] < 0x20 || id[i] == 0x7f)
            return NULL;
    return id;
}

static struct hub_reg *reg_find(struct hub_conn *conn, const char *id) {
    struct hub_reg *reg;
    LIST_FOREACH(reg, &conn->regs, of_conn) {
        if (strcmp(reg->topic->id, id) == 0)
            return reg;
    }
    return NULL;
}

static int reg_new(struct hub_conn *conn, const char *id, const char *invocation_id) {
    struct hub_reg *reg = calloc(1, sizeof *reg);
    char *copy = invocation_id ? strdup(invocation_id) : NULL;
    struct hub_topic *topic = reg && (copy || !invocation_id) ? topic_of(conn->hub, id) : NULL;
    if (!topic) {
        free(copy);
        free(reg);
        return -ENOMEM;
    }
    *reg = (struct hub_reg){
        .conn = conn, .topic = topic, .pending = true, .invocation_id = copy, .asked_ms = conn->hub->now_ms};
    LIST_INSERT_HEAD(&conn->regs, reg, of_conn);
    LIST_INSERT_HEAD(&topic->regs, reg, of_topic);
    conn->reg_count++;
    topic->reg_count++;
    topic_ask(topic);
    return 0;
}

static const char *judge(struct hub_conn *conn, const char *id) {
    uint64_t now_ms = conn->hub->now_ms;
    if (!id)
        return "Register takes one argument, the request's id.";
    if (!hub_bucket_take(&conn->registers, now_ms, HUB_REGISTER_BURST, 1, 1) ||
        !hub_bucket_take(&conn->address->registers, now_ms, HUB_ADDRESS_BURST, HUB_ADDRESS_PER_S, 1))
        return "Too many registrations. Please wait.";
    if (conn->reg_count >= HUB_IDS_PER_CONN && !reg_find(conn, id))
        return "Too many ids for one connection.";
    return NULL;
}

void hub_register(struct hub_conn *conn, const struct signalr_message *message) {
    const char *id = id_of(message);
    const char *error = judge(conn, id);
    struct hub_reg *there = error ? NULL : reg_find(conn, id);
    if (there && there->pending)
        error = "That registration is under way.";
    if (!error && !there) {
        if (reg_new(conn, id, message->invocation_id) == 0)
            return; // completed when the desk has answered
        error = refusal(-ENOMEM);
    }
    hub_complete(conn, message->invocation_id, error);
}

// ---- time

static void topic_tick(void *object, void *arg) {
    struct hub_topic *topic = object;
    struct hub *hub = arg;
    struct hub_reg *reg = LIST_FIRST(&topic->regs), *next;
    bool dropped = false;
    for (; reg; reg = next) {
        next = LIST_NEXT(reg, of_topic);
        if (!reg->pending || hub->now_ms < reg->asked_ms + HUB_REGISTER_MS)
            continue;
        hub_complete(reg->conn, reg->invocation_id, refusal(-ETIMEDOUT));
        reg_free(reg);
        dropped = true;
    }
    if (dropped)
        topic_look(topic);
    else if (topic->retry_ms && hub->now_ms >= topic->retry_ms)
        topic_ask(topic);
}

void hub_topics_tick(struct hub *hub) {
    hub_map_each(&hub->topics, topic_tick, hub);
}

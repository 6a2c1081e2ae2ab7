// SPDX-License-Identifier: Apache-2.0
#include "middleware/nodes.h"

#include "gateway/core/log.h"
#include "middleware/load.h"
#include "signaling/auth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Finds what another process has written under a node's name: `twin` is its address, nil when there is none. A
// process that has just died is no twin any more after TWIN_MS, nor is one that had this very address, when `mine`
// (address, port) is given: a socket has one owner.
#define TWIN_MS "5000"
#define TWIN                                                                                                 \
    "local function twin_of(old, now, instance, mine)\n"                                                     \
    "  local at, text = string.match(old or '', '^(%d+) (.*)$')\n"                                           \
    "  local good, other = pcall(cjson.decode, text or '')\n"                                                \
    "  if not good or type(other) ~= 'table' or not other.instance then return nil end\n"                    \
    "  if other.instance == instance or now - tonumber(at) > " TWIN_MS " then return nil end\n"              \
    "  local twin = tostring(other.endpoint) .. ' port ' .. tostring(other.port)\n"                          \
    "  if twin ~= mine then return twin end\n"                                                               \
    "end\n"                                                                                                  \
    "local time = redis.call('TIME')\n"                                                                      \
    "local now = time[1] * 1000 + math.floor(time[2] / 1000)\n"

// KEYS the hash. ARGV this node and its text ("" = it only looks), how long the silent stay (ms), this process, its
// address while it has not announced itself yet. Answers its twin's address ("" = none), then {ms since it was heard,
// text} of each node, by the clock of Redis, which is the same for all.
static struct redis_script beat_script = {.text = TWIN "\
local twin\n\
if ARGV[2] ~= '' then\n\
  twin = twin_of(redis.call('HGET', KEYS[1], ARGV[1]), now, ARGV[4], ARGV[5])\n\
  if not twin then redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f %s', now, ARGV[2])) end\n\
end\n\
local all, answer = redis.call('HGETALL', KEYS[1]), {twin or ''}\n\
for i = 1, #all, 2 do\n\
  local at, text = string.match(all[i + 1], '^(%d+) (.*)$')\n\
  local age = now - tonumber(at or 0)\n\
  if not at or age > tonumber(ARGV[3]) then\n\
    redis.call('HDEL', KEYS[1], all[i])\n\
  else\n\
    table.insert(answer, math.max(age, 0))\n\
    table.insert(answer, text)\n\
  end\n\
end\n\
return answer\n"};

// KEYS the hash. ARGV this node, this process. What a twin has written stays.
static struct redis_script leave_script = {.text = TWIN "\
if twin_of(redis.call('HGET', KEYS[1], ARGV[1]), now, ARGV[2], '') then return 0 end\n\
return redis.call('HDEL', KEYS[1], ARGV[1])\n"};

static const char key[] = "nodes";

struct nodes {
    struct nodes_config config;
    uv_timer_t timer;
    struct load load;
    struct node list[NODES_MAX];
    size_t count;
    bool full; // said once
    bool left;
    char instance[48]; // this process
    bool announced;    // at least once, by this process
    char why_hidden[512];
};

// ---- one node as text

static const char *state_of(const struct node *node) {
    if (node->accepting)
        return "running";
    return node->full ? "full" : "draining";
}

char *node_text(const struct node *node) {
    json_t *root =
        json_pack("{s:s,s:s,s:s,s:s,s:i,s:i,s:s,s:I,s:I,s:i,s:i}", "id", node->id, "instance",
                  node->instance ? node->instance : "", "region", node->region_id, "endpoint", node->endpoint,
                  "port", (int)node->port, "tlsPort", (int)node->tls_port, "state", state_of(node), "calls",
                  (json_int_t)node->calls, "capacity", (json_int_t)node->capacity, "cpuPercent",
                  (int)node->cpu_percent, "memoryPercent", (int)node->memory_percent);
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    return text;
}

static bool copy_text(char *out, size_t size, const char *text) {
    int wrote = snprintf(out, size, "%s", text);
    return wrote > 0 && (size_t)wrote < size;
}

int node_parse(struct node *out, const char *text, size_t len) {
    json_t *root = json_loadb(text, len, 0, NULL);
    const char *id, *region, *endpoint, *state;
    int port, tls_port = 0, cpu = 0, memory = 0;
    json_int_t calls, capacity;
    struct node node = {.heard_ms = 0};
    bool good = root && json_unpack(root, "{s:s,s:s,s:s,s:i,s?i,s:s,s:I,s:I,s?i,s?i}", "id", &id, "region",
                                    &region, "endpoint", &endpoint, "port", &port, "tlsPort", &tls_port,
                                    "state", &state, "calls", &calls, "capacity", &capacity, "cpuPercent",
                                    &cpu, "memoryPercent", &memory) == 0;
    good = good && copy_text(node.id, sizeof node.id, id) &&
           copy_text(node.region_id, sizeof node.region_id, region) &&
           copy_text(node.endpoint, sizeof node.endpoint, endpoint) && port > 0 && port <= UINT16_MAX &&
           tls_port >= 0 && tls_port <= UINT16_MAX;
    if (good) {
        node.port = (uint16_t)port;
        node.tls_port = (uint16_t)tls_port;
        node.accepting = strcmp(state, "running") == 0;
        node.full = strcmp(state, "full") == 0;
        node.calls = calls;
        node.capacity = capacity;
        node.cpu_percent = (unsigned)cpu;
        node.memory_percent = (unsigned)memory;
        *out = node;
    }
    json_decref(root);
    return good ? 0 : -EINVAL;
}

// ---- the beat

static void nodes_take(struct nodes *nodes, const struct redis_reply *age, const struct redis_reply *text) {
    struct node node;
    if (age->type != REDIS_INTEGER || text->type != REDIS_STRING ||
        node_parse(&node, text->str, text->len) != 0)
        return;
    if (nodes->count == NODES_MAX) {
        if (!nodes->full)
            log_warn(NULL, "nodes", "there are more than %d media nodes: the rest gets no calls", NODES_MAX);
        nodes->full = true;
        return;
    }
    uint64_t now_ms = uv_now(nodes->config.loop);
    uint64_t age_ms = (uint64_t)age->integer;
    node.heard_ms = now_ms > age_ms ? now_ms - age_ms : 0;
    nodes->list[nodes->count++] = node;
}

static void take_twin(struct nodes *nodes, const char *twin) {
    bool was = nodes->why_hidden[0] != '\0';
    struct node self = {.id = ""};
    if (*twin && !was) {
        nodes->config.self(&self, nodes->config.arg);
        snprintf(
            nodes->why_hidden, sizeof nodes->why_hidden,
            "Gateway.NodeId: another process, at %.300s, is \"%s\" too, so this one gets no calls of trunks: "
            "give each node a name of its own",
            twin, self.id);
        log_error(NULL, "nodes", "%s", nodes->why_hidden);
    } else if (!*twin && was) {
        nodes->why_hidden[0] = '\0';
        log_info(NULL, "nodes", "the other process of this name is gone: this one gets calls");
    }
    nodes->announced |= !*twin;
}

static void on_beat(int err, const struct redis_reply *reply, void *arg) {
    struct nodes *nodes = arg;
    if (err)
        return; // what is known grows old
    if (reply->type != REDIS_ARRAY || !reply->count || reply->elements[0].type != REDIS_STRING) {
        log_error(NULL, "nodes", "Redis refused the heartbeat: %s",
                  reply->type == REDIS_ERROR ? reply->str : "an unexpected answer");
        return;
    }
    if (nodes->config.self)
        take_twin(nodes, reply->elements[0].str);
    nodes->count = 0;
    for (size_t i = 1; i + 1 < reply->count; i += 2)
        nodes_take(nodes, &reply->elements[i], &reply->elements[i + 1]);
}

static char *self_text(struct nodes *nodes, struct node *self) {
    nodes->config.self(self, nodes->config.arg);
    self->cpu_percent = load_cpu_percent(&nodes->load);
    self->memory_percent = load_memory_percent();
    self->instance = nodes->instance;
    return node_text(self);
}

void nodes_beat(struct nodes *nodes) {
    if (nodes->left || !redis_up(nodes->config.redis))
        return;
    struct node self = {.id = ""};
    char *text = nodes->config.self ? self_text(nodes, &self) : NULL;
    char number[24], address[300] = "";
    if (!nodes->announced)
        snprintf(address, sizeof address, "%s port %u", self.endpoint, self.port);
    const struct redis_arg keys[] = {redis_str(key)};
    const struct redis_arg args[] = {redis_str(self.id), redis_str(text ? text : ""),
                                     redis_int(NODES_FORGET_MS, number), redis_str(nodes->instance),
                                     redis_str(address)};
    redis_eval(nodes->config.redis, &beat_script, keys, 1, args, sizeof args / sizeof args[0], on_beat,
               nodes);
    free(text);
}

static void on_timer(uv_timer_t *timer) {
    nodes_beat(timer->data);
}

void nodes_leave(struct nodes *nodes) {
    if (nodes->left)
        return;
    nodes->left = true;
    if (!nodes->config.self)
        return;
    struct node self = {.id = ""};
    nodes->config.self(&self, nodes->config.arg);
    const struct redis_arg keys[] = {redis_str(key)};
    const struct redis_arg args[] = {redis_str(self.id), redis_str(nodes->instance)};
    redis_eval(nodes->config.redis, &leave_script, keys, 1, args, 2, NULL, NULL);
}

// ---- the table

static bool is_silent(const struct nodes *nodes, const struct node *node) {
    return uv_now(nodes->config.loop) - node->heard_ms > NODES_SILENT_MS;
}

size_t nodes_alive(const struct nodes *nodes, const struct node **out, size_t max) {
    size_t count = 0;
    for (size_t i = 0; i < nodes->count && count < max; i++) {
        if (!is_silent(nodes, &nodes->list[i]))
            out[count++] = &nodes->list[i];
    }
    return count;
}

void nodes_sent(struct nodes *nodes, const char *id) {
    for (size_t i = 0; i < nodes->count; i++) {
        if (strcmp(nodes->list[i].id, id) == 0)
            nodes->list[i].calls++;
    }
}

const char *nodes_why_hidden(const struct nodes *nodes) {
    return nodes->why_hidden[0] ? nodes->why_hidden : NULL;
}

json_t *nodes_json(const struct nodes *nodes) {
    json_t *list = json_array();
    for (size_t i = 0; i < nodes->count; i++) {
        const struct node *node = &nodes->list[i];
        const char *state = is_silent(nodes, node) ? "silent" : state_of(node);
        json_array_append_new(
            list, json_pack("{s:s,s:s,s:s,s:i,s:i,s:s,s:I,s:I,s:i,s:i,s:I}", "id", node->id, "regionId",
                            node->region_id, "endpoint", node->endpoint, "sipPort", (int)node->port,
                            "sipTlsPort", (int)node->tls_port, "state", state, "calls",
                            (json_int_t)node->calls, "capacity", (json_int_t)node->capacity, "cpuPercent",
                            (int)node->cpu_percent, "memoryPercent", (int)node->memory_percent, "heardMsAgo",
                            (json_int_t)(uv_now(nodes->config.loop) - node->heard_ms)));
    }
    return list;
}

int nodes_new(struct nodes **out, const struct nodes_config *config) {
    struct nodes *nodes = calloc(1, sizeof *nodes);
    if (!nodes)
        return -ENOMEM;
    nodes->config = *config;
    int err = auth_random_id("", nodes->instance, sizeof nodes->instance);
    if (err) {
        free(nodes);
        return err;
    }
    uv_timer_init(config->loop, &nodes->timer);
    nodes->timer.data = nodes;
    uv_timer_start(&nodes->timer, on_timer, NODES_BEAT_MS, NODES_BEAT_MS);
    *out = nodes;
    return 0;
}

void nodes_close(struct nodes *nodes) {
    uv_close((uv_handle_t *)&nodes->timer, NULL);
}

void nodes_free(struct nodes *nodes) {
    free(nodes);
}

// SPDX-License-Identifier: Apache-2.0
#include "middleware/callqueue_lua.h"

// What the scripts share: the clock, and how an entry is changed.
#define PRELUDE                                                                                              \
    "local now, day = tonumber(ARGV[1]), '86400000'\n"                                                       \
    "if now == 0 then\n"                                                                                     \
    "  local time = redis.call('TIME')\n"                                                                    \
    "  now = time[1] * 1000 + math.floor(time[2] / 1000)\n"                                                  \
    "end\n"                                                                                                  \
    "local function entry(id) return 'callqueue:entry:' .. id end\n"                                         \
    "local function get(id, field) return redis.call('HGET', entry(id), field) end\n"                        \
    "local function note(id, text)\n"                                                                        \
    "  local key = 'callqueue:log:' .. id\n"                                                                 \
    "  redis.call('RPUSH', key, string.format('%.0f %s', now, text))\n"                                      \
    "  redis.call('LTRIM', key, -32, -1)\n"                                                                  \
    "  redis.call('PEXPIRE', key, day)\n"                                                                    \
    "end\n"                                                                                                  \
    "local function move(id, status, text)\n"                                                                \
    "  local before = get(id, 'status')\n"                                                                   \
    "  if before then redis.call('ZREM', 'callqueue:status:' .. before, id) end\n"                           \
    "  redis.call('ZADD', 'callqueue:status:' .. status, get(id, 'created'), id)\n"                          \
    "  redis.call('HSET', entry(id), 'status', status, 'updated', now)\n"                                    \
    "  redis.call('PEXPIRE', entry(id), day)\n"                                                              \
    "  note(id, text)\n"                                                                                     \
    "end\n"                                                                                                  \
    "local function lease(id, business, ms)\n"                                                               \
    "  local ends = string.format('%.0f', now + ms)\n"                                                       \
    "  redis.call('ZADD', 'callqueue:live', ends, id)\n"                                                     \
    "  redis.call('ZADD', 'callqueue:leases:' .. business, ends, id)\n"                                      \
    "  redis.call('PEXPIRE', 'callqueue:leases:' .. business, day)\n"                                        \
    "end\n"                                                                                                  \
    "local function release(id)\n"                                                                           \
    "  redis.call('ZREM', 'callqueue:live', id)\n"                                                           \
    "  local business = get(id, 'business')\n"                                                               \
    "  if business then redis.call('ZREM', 'callqueue:leases:' .. business, id) end\n"                       \
    "end\n"

// id, business, number, Call-ID, From-tag, CSeq, limit, lease ms, status, refusal ("" = none), its text, then fields
// and values. Answers enum callqueue_verdict. What was refused may be tried again as it was. Who asks again with
// another CSeq has found no server that took the call, or it would not ask: the redirect before is given up.
struct redis_script callqueue_lua_open = {.text = PRELUDE "\
local id, business, cseq, limit = ARGV[2], ARGV[3], ARGV[7], tonumber(ARGV[8])\n\
local seen = 'callqueue:call:' .. business .. ':' .. ARGV[4] .. ':' .. ARGV[5] .. ':' .. ARGV[6]\n\
local other = redis.call('GET', seen)\n\
local before = other and tonumber(get(other, 'status') or 5) or 5\n\
if before < 5 and get(other, 'cseq') == cseq then return 1 end\n\
if before == 2 then\n\
  redis.call('HSET', entry(other), 'reason', 'the caller asked again', 'ended', now)\n\
  move(other, 6, 'the caller asked again: ' .. id)\n\
  release(other)\n\
end\n\
local most = 100000\n\
if redis.call('ZCARD', 'callqueue:index') >= most then\n\
  local oldest = redis.call('ZPOPMIN', 'callqueue:index')[1]\n\
  local was = redis.call('HMGET', entry(oldest), 'status', 'business', 'number', 'callid', 'tag')\n\
  redis.call('ZREM', 'callqueue:status:' .. (was[1] or 0), oldest)\n\
  redis.call('DEL', entry(oldest), 'callqueue:log:' .. oldest)\n\
  local by = was[5] and 'callqueue:call:' .. was[2] .. ':' .. was[3] .. ':' .. was[4] .. ':' .. was[5]\n\
  if by and redis.call('GET', by) == oldest then redis.call('DEL', by) end\n\
end\n\
local leases = 'callqueue:leases:' .. business\n\
local status, text, verdict = ARGV[10], ARGV[12], 0\n\
if ARGV[11] ~= '' then status, text, verdict = '5', ARGV[11], 3 end\n\
redis.call('ZREMRANGEBYSCORE', leases, '-inf', now)\n\
if limit > 0 and redis.call('ZCARD', leases) >= limit then\n\
  status, text, verdict = '5', 'The plan has no call left: ' .. limit .. ' are up', 2\n\
end\n\
local at = string.format('%.0f', now)\n\
redis.call('HSET', entry(id), 'business', business, 'number', ARGV[4], 'callid', ARGV[5], 'tag', ARGV[6],\n\
  'cseq', cseq, 'status', status, 'created', at, 'updated', at, 'opened', text, unpack(ARGV, 13))\n\
if verdict > 0 then redis.call('HSET', entry(id), 'reason', text, 'ended', at) end\n\
redis.call('PEXPIRE', entry(id), day)\n\
redis.call('ZADD', 'callqueue:index', at, id)\n\
redis.call('ZADD', 'callqueue:status:' .. status, at, id)\n\
if verdict > 0 then return verdict end\n\
redis.call('SET', seen, id, 'PX', day)\n\
lease(id, business, tonumber(ARGV[9]))\n\
return 0\n"};

// Answers {enum callqueue_claim, business, number, campaign, region}.
struct redis_script callqueue_lua_claim = {.text = PRELUDE "\
local id, node, region = ARGV[2], ARGV[3], ARGV[4]\n\
local status = get(id, 'status')\n\
if not status then return {1, '', '', '', ''} end\n\
local here = false\n\
for _, server in ipairs(cjson.decode(get(id, 'servers') or '[]')) do\n\
  if server.node == node and server.region == region then here = true end\n\
end\n\
if not here then return {2, '', '', '', ''} end\n\
local deadline = redis.call('ZSCORE', 'callqueue:live', id)\n\
if status ~= '2' or not deadline or tonumber(deadline) <= now then return {3, '', '', '', ''} end\n\
local answer = redis.call('HMGET', entry(id), 'business', 'number', 'campaign', 'region')\n\
if get(id, 'login') == '1' and ARGV[6] == '0' then return {4, unpack(answer)} end\n\
lease(id, answer[1], tonumber(ARGV[5]))\n\
redis.call('HSET', entry(id), 'node', node, 'claimed', now)\n\
move(id, 3, 'claimed by ' .. node)\n\
return {0, unpack(answer)}\n"};

struct redis_script callqueue_lua_answered = {.text = PRELUDE "\
local id = ARGV[2]\n\
if get(id, 'status') ~= '3' then return 0 end\n\
redis.call('HSET', entry(id), 'session', ARGV[3], 'answered', now)\n\
move(id, 4, 'the agent is connected: session ' .. ARGV[3])\n\
return 1\n"};

// What ended already stays as it is.
struct redis_script callqueue_lua_over = {.text = PRELUDE "\
local id, text = ARGV[2], ARGV[4]\n\
local status = tonumber(get(id, 'status') or 7)\n\
if status > 4 or get(id, 'ended') then return 0 end\n\
redis.call('HSET', entry(id), 'reason', text, 'ended', now)\n\
if status == 4 then note(id, text) else move(id, ARGV[3], text) end\n\
release(id)\n\
return 1\n"};

struct redis_script callqueue_lua_note = {.text = PRELUDE "\
if not get(ARGV[2], 'status') then return 0 end\n\
note(ARGV[2], ARGV[3])\n\
return 1\n"};

// Leases are taken again, and entries made again or opened again, where Redis has lost them or a sweep has ended them:
// the calls are up.
struct redis_script callqueue_lua_renew = {.text = PRELUDE "\
for i = 4, #ARGV, 7 do\n\
  local id = ARGV[i]\n\
  if redis.call('EXISTS', entry(id)) == 0 then\n\
    local at = string.format('%.0f', now)\n\
    redis.call('HSET', entry(id), 'business', ARGV[i + 1], 'number', ARGV[i + 2], 'callid', ARGV[i + 3],\n\
      'caller', ARGV[i + 4], 'called', ARGV[i + 5], 'node', ARGV[3], 'created', at)\n\
    redis.call('ZADD', 'callqueue:index', at, id)\n\
    move(id, ARGV[i + 6], 'Redis had lost it: told again by ' .. ARGV[3])\n\
  elseif get(id, 'ended') then\n\
    redis.call('HDEL', entry(id), 'ended', 'reason')\n\
    move(id, ARGV[i + 6], ARGV[3] .. ' is back, with the call')\n\
  end\n\
  lease(id, ARGV[i + 1], tonumber(ARGV[2]))\n\
  redis.call('PEXPIRE', entry(id), day)\n\
  redis.call('PEXPIRE', 'callqueue:log:' .. id, day)\n\
end\n\
return 0\n"};

// How many at most. Answers how many there were.
struct redis_script callqueue_lua_sweep = {.text = PRELUDE "\
local ids = redis.call('ZRANGEBYSCORE', 'callqueue:live', '-inf', now, 'LIMIT', 0, ARGV[2])\n\
for _, id in ipairs(ids) do\n\
  local status = tonumber(get(id, 'status') or 7)\n\
  local text = 'no media node took the call in time'\n\
  if status > 2 then text = 'the media node that had the call is gone' end\n\
  if status < 5 then redis.call('HSET', entry(id), 'reason', text, 'ended', now) end\n\
  if status < 3 then move(id, 7, text) end\n\
  if status == 3 then move(id, 5, text) end\n\
  if status == 4 then note(id, text) end\n\
  release(id)\n\
end\n\
redis.call('ZREMRANGEBYSCORE', 'callqueue:index', '-inf', now - day)\n\
for status = 0, 7 do redis.call('ZREMRANGEBYSCORE', 'callqueue:status:' .. status, '-inf', now - day) end\n\
return #ids\n"};

// Answers {total, {fields and values}, {log}, {fields and values}, {log} ...}.
struct redis_script callqueue_lua_list = {.text = PRELUDE "\
local key, offset = 'callqueue:index', tonumber(ARGV[3])\n\
if ARGV[2] ~= '-1' then key = 'callqueue:status:' .. ARGV[2] end\n\
local ids = redis.call('ZREVRANGE', key, offset, offset + tonumber(ARGV[4]) - 1)\n\
local answer = {redis.call('ZCARD', key)}\n\
for _, id in ipairs(ids) do\n\
  local fields = redis.call('HGETALL', entry(id))\n\
  if #fields > 0 then\n\
    table.insert(fields, 'id')\n\
    table.insert(fields, id)\n\
    table.insert(answer, fields)\n\
    local log = redis.call('LRANGE', 'callqueue:log:' .. id, 0, -1)\n\
    local birth = redis.call('HMGET', entry(id), 'created', 'opened')\n\
    if birth[2] then table.insert(log, 1, birth[1] .. ' ' .. birth[2]) end\n\
    table.insert(answer, log)\n\
  end\n\
end\n\
return answer\n"};

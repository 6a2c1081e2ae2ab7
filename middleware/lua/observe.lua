-- SPDX-License-Identifier: Apache-2.0
-- Everything at a glance, as JSON. ARGV: most slots and entries to name.
local most = tonumber(ARGV[2])
local out = {
  now = now, slots = redis.call('ZCARD', 'slots:all'), waiting = redis.call('ZCARD', 'queue:waiting'),
  serving = redis.call('ZCARD', 'queue:taken'), present = redis.call('ZCARD', 'queue:presence'),
  ended = redis.call('ZCARD', 'slots:ended'), campaigns = {}, leases = {}, entries = {}, calm = calm(),
}
local plan = redis.call('HMGET', 'slots:plan', 'max', 'others')
if plan[1] then out.plan = {max = tonumber(plan[1]), others = tonumber(plan[2])} end
for campaign, of in pairs(queue_view()) do
  local pause = tonumber(redis.call('HGET', 'queue:pauses', campaign) or 0)
  out.campaigns[campaign] = {waiting = of.count, weight = of.weight, tag = of.tag, pausedMs = math.max(0, pause - now)}
end
local slots = redis.call('ZRANGE', 'slots:all', 0, most - 1, 'WITHSCORES')
for i = 1, #slots, 2 do
  local slot = redis.call('HMGET', 'slots:slot:' .. slots[i], 'node', 'campaign', 'session', 'request')
  out.leases[slots[i]] = {node = slot[1], campaign = slot[2], session = slot[3], request = slot[4],
    leftMs = tonumber(slots[i + 1]) - now}
end
local ids = redis.call('ZRANGE', 'queue:waiting', 0, most - 1)
for i, id in ipairs(ids) do
  local entry = redis.call('HMGET', 'queue:entry:' .. id, 'campaign', 'tries', 'since')
  out.entries[id] = {order = i, campaign = entry[1], tries = tonumber(entry[2]), waitedMs = now - tonumber(entry[3])}
end
return cjson.encode(out)

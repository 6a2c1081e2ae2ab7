-- SPDX-License-Identifier: Apache-2.0
-- The queue: first come, first served within a campaign; between campaigns by weight (start-time fair queuing:
-- the campaign with the lowest tag is next, and pays 1/weight for it). Stands behind slots.lua. Keys:
--
--   queue:entry:{id}     hash  state waiting: text, transport, campaign, seq, tries, crashes, rate, since
--                              state serving: the same and lease, the slot it is served with
--                              state done: target, args (what its client is told), for some minutes
--   queue:waiting        zset  id -> seq, of all who wait
--   queue:of:{campaign}  zset  the same, of one campaign
--   queue:active         zset  campaign -> tag, of those with somebody waiting
--   queue:tag            text  tag of whoever was served last: where newcomers join
--   queue:tags           hash  campaign -> tag of those with nobody waiting, so that leaving pays no debts
--   queue:weights        hash  campaign -> weight
--   queue:pauses         hash  campaign -> ms until when nobody is served, after a refusal of the platform
--   queue:taken          zset  id -> deadline ms of who serves it
--   queue:presence       zset  id -> ms until when its client is believed to be there
--   queue:pace           hash  at, ms: when somebody was served last, and ms between two, smoothed
--   queue:seq            text  numbers all who ask, so that one who comes back stands where he stood
local UNSEEN_MS = 60000 -- for a client to come and register
local PRESENT_MS = 45000 -- what each word from the node it is connected to is good for
local GRACE_MS = 10000 -- to come back in
local SERVE_MS = START_MS - 5000 -- less than the slot's lease, so that a served entry goes back before its slot lapses
local RATE_MS = 90000 -- of the lease in the limits while it waits
local DONE_MS = 300000 -- that the outcome is kept for who comes late
local EPSILON = 1e-9

local function queue_weight(campaign)
  return tonumber(redis.call('HGET', 'queue:weights', campaign) or 1)
end

local function queue_join(id, campaign, seq)
  redis.call('ZADD', 'queue:waiting', seq, id)
  redis.call('ZADD', 'queue:of:' .. campaign, seq, id)
  if not redis.call('ZSCORE', 'queue:active', campaign) then
    local debt = tonumber(redis.call('HGET', 'queue:tags', campaign) or 0)
    redis.call('ZADD', 'queue:active', math.max(debt, tonumber(redis.call('GET', 'queue:tag') or 0)), campaign)
    redis.call('HDEL', 'queue:tags', campaign)
  end
  moved = true
end

local function queue_leave(id, campaign)
  redis.call('ZREM', 'queue:waiting', id)
  redis.call('ZREM', 'queue:of:' .. campaign, id)
  if redis.call('EXISTS', 'queue:of:' .. campaign) == 0 then
    local tag = redis.call('ZSCORE', 'queue:active', campaign)
    if tag then redis.call('HSET', 'queue:tags', campaign, tag) end
    redis.call('ZREM', 'queue:active', campaign)
  end
  moved = true
end

-- A new entry. `tries` 1: the platform has refused it once already.
local function queue_push(entry)
  if redis.call('ZCARD', 'queue:waiting') == 0 then redis.call('HSET', 'queue:pace', 'at', now) end
  redis.call('HSET', 'queue:entry:' .. entry.id, 'state', 'waiting', 'text', entry.text, 'transport', entry.transport,
    'campaign', entry.campaign, 'seq', entry.seq, 'tries', entry.tries, 'crashes', 0, 'rate', entry.rate, 'since', now)
  redis.call('HSET', 'queue:weights', entry.campaign, entry.weight)
  redis.call('ZADD', 'queue:presence', now + UNSEEN_MS, entry.id)
  rate_hold(entry.rate, entry.id, now + RATE_MS)
  queue_join(entry.id, entry.campaign, entry.seq)
end

local function queue_pause(campaign, ms)
  redis.call('HSET', 'queue:pauses', campaign, now + ms)
end

-- Who is next: id and campaign; nil when nobody may be served. Then, when one has to wait out a pause, its end.
-- `blocked` campaigns are passed over.
local function queue_next(blocked)
  local best, wake
  local active = redis.call('ZRANGE', 'queue:active', 0, -1, 'WITHSCORES')
  for i = 1, #active, 2 do
    local campaign, tag = active[i], tonumber(active[i + 1])
    if best and tag > best.tag + EPSILON then break end
    local pause = tonumber(redis.call('HGET', 'queue:pauses', campaign) or 0)
    if pause > now then
      wake = math.min(wake or pause, pause)
    elseif not blocked[campaign] then
      local head = redis.call('ZRANGE', 'queue:of:' .. campaign, 0, 0, 'WITHSCORES')
      local seq = tonumber(head[2])
      if not best or seq < best.seq then best = {id = head[1], campaign = campaign, tag = tag, seq = seq} end
      redis.call('HDEL', 'queue:pauses', campaign)
    end
  end
  return best, wake
end

-- Somebody is served: his campaign pays, and the pace is measured.
local function queue_serve(best, slot)
  redis.call('SET', 'queue:tag', best.tag)
  redis.call('ZINCRBY', 'queue:active', 1 / queue_weight(best.campaign), best.campaign)
  queue_leave(best.id, best.campaign)
  redis.call('ZADD', 'queue:taken', now + SERVE_MS, best.id)
  redis.call('HSET', 'queue:entry:' .. best.id, 'state', 'serving', 'lease', slot)
  local pace = redis.call('HMGET', 'queue:pace', 'at', 'ms')
  local gap = math.min(now - tonumber(pace[1] or now), 600000)
  local ms = pace[2] and tonumber(pace[2]) * 0.8 + gap * 0.2 or gap
  redis.call('HSET', 'queue:pace', 'at', now, 'ms', ms)
end

-- Back to where it stood, and its campaign is paid back.
local function queue_back(id)
  local entry = redis.call('HMGET', 'queue:entry:' .. id, 'campaign', 'seq')
  redis.call('ZREM', 'queue:taken', id)
  redis.call('HSET', 'queue:entry:' .. id, 'state', 'waiting', 'lease', '')
  queue_join(id, entry[1], entry[2])
  redis.call('ZINCRBY', 'queue:active', -1 / queue_weight(entry[1]), entry[1])
  return entry[1]
end

local function queue_done(id, target, args)
  redis.call('ZREM', 'queue:taken', id)
  redis.call('ZREM', 'queue:presence', id)
  redis.call('HSET', 'queue:entry:' .. id, 'state', 'done', 'target', target, 'args', args, 'lease', '')
  redis.call('HDEL', 'queue:entry:' .. id, 'text')
  redis.call('PEXPIRE', 'queue:entry:' .. id, DONE_MS)
end

-- Whether `slot` is what the entry is being served with. Whoever is late finds that it is not any more.
local function queue_is_mine(id, slot)
  local entry = redis.call('HMGET', 'queue:entry:' .. id, 'state', 'lease')
  return entry[1] == 'serving' and entry[2] == slot
end

-- How positions are found: every campaign's tag, weight and length, read once for all who ask.
local function queue_view()
  local view = {}
  local active = redis.call('ZRANGE', 'queue:active', 0, -1, 'WITHSCORES')
  for i = 1, #active, 2 do
    view[active[i]] = {tag = tonumber(active[i + 1]), weight = queue_weight(active[i]),
      count = redis.call('ZCARD', 'queue:of:' .. active[i])}
  end
  return view
end

-- How many of another campaign are served before the tag; of equal tags the one who asked first.
local function queue_before(campaign, other, tag, seq)
  local share = (tag - other.tag) * other.weight
  local nearest = math.floor(share + 0.5)
  if math.abs(share - nearest) > EPSILON then return math.max(0, math.min(other.count, math.ceil(share))) end
  if nearest < 0 then return 0 end
  local tie = redis.call('ZRANGE', 'queue:of:' .. campaign, nearest, nearest, 'WITHSCORES')
  local first = tie[2] and tonumber(tie[2]) < seq
  return math.min(other.count, nearest + (first and 1 or 0))
end

-- 1 = next; 0 = not waiting. What it would be if nobody came or left.
local function queue_position(view, id, campaign)
  local mine = view[campaign]
  local index = redis.call('ZRANK', 'queue:of:' .. campaign, id)
  if not mine or not index then return 0 end
  local seq = tonumber(redis.call('ZSCORE', 'queue:of:' .. campaign, id))
  local tag = mine.tag + index / mine.weight
  local position = index + 1
  for other, of in pairs(view) do
    if other ~= campaign then position = position + queue_before(other, of, tag, seq) end
  end
  return position
end

-- Seconds until the position is served at the pace of late; -1 while there is none.
local function queue_eta(position)
  local ms = redis.call('HGET', 'queue:pace', 'ms')
  return ms and math.ceil(position * tonumber(ms) / 1000) or -1
end

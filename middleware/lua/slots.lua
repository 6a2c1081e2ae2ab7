-- SPDX-License-Identifier: Apache-2.0
-- Slots: leases on the platform's concurrency. Every script of the desk begins with this file. Keys:
--
--   slots:all            zset  slot -> deadline ms; as many as calls are alive or being set up
--   slots:of:{node}      zset  the same, of one node
--   slots:slot:{slot}    hash  node, campaign, seq; rate, request (its lease in ratelimit:leases:{rate});
--                              session and started (ms) once the platform has said yes
--   slots:session:{id}   text  the slot of a conversation, kept for a day after it ended
--   slots:early:{id}     text  a conversation whose end was told before it had a slot; for a minute
--   slots:ended          zset  slot -> ms, of those that ended after they had started; the last ten minutes
--   slots:plan           hash  max, others, at: what the platform allows, and what others use of it
--   desk:beat, desk:calm text  when the last sweep was; until when nothing lapses, because nobody swept
--
-- ARGV[1] is the time in ms, or empty for that of Redis, which all nodes share.
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local START_MS = 30000 -- to set a call up in: more than the platform's answer may take
local KEEP_ENDED_MS, KEEP_SESSION_MS, KEEP_EARLY_MS = 600000, 86400000, 60000
-- Without a sweep for so long nobody could reach Redis, and everybody gets as long again to say that they are there.
local GAP_MS = 15000
local freed, moved = false, false -- what desk_tell has to say

local function calm()
  local times = redis.call('MGET', 'desk:calm', 'desk:beat')
  return now < tonumber(times[1] or 0) or now - tonumber(times[2] or now) > GAP_MS
end

-- `rate` is the address as the limits count it; a call that no limit counts has none.
local function rate_hold(rate, request, deadline)
  if not rate or rate == '' then return end
  local leases = 'ratelimit:leases:' .. rate
  redis.call('ZADD', leases, deadline, request)
  local last = redis.call('ZRANGE', leases, -1, -1, 'WITHSCORES')
  redis.call('PEXPIRE', leases, math.max(1, last[2] - now))
end

local function rate_release(rate, request)
  if not rate or rate == '' then return end
  redis.call('ZREM', 'ratelimit:leases:' .. rate, request)
end

local function rate_give_back(rate, request)
  if not rate or rate == '' then return end
  rate_release(rate, request)
  redis.call('ZREM', 'ratelimit:hourly_sliding:' .. rate, request)
  redis.call('ZREM', 'ratelimit:daily_sliding:' .. rate, request)
end

local function slots_room(node, node_max)
  local plan = redis.call('HMGET', 'slots:plan', 'max', 'others')
  if plan[1] and redis.call('ZCARD', 'slots:all') + tonumber(plan[2]) + 1 > tonumber(plan[1]) then
    return false
  end
  return node_max == 0 or redis.call('ZCARD', 'slots:of:' .. node) < node_max
end

local function slot_take(slot, node, lease_ms, campaign, rate, request, seq)
  redis.call('ZADD', 'slots:all', now + lease_ms, slot)
  redis.call('ZADD', 'slots:of:' .. node, now + lease_ms, slot)
  redis.call('HSET', 'slots:slot:' .. slot, 'node', node, 'campaign', campaign, 'rate', rate, 'request', request, 'seq', seq)
end

-- Takes the slot away and returns what it was, or nil when it was gone already.
local function slot_drop(slot)
  local names = redis.call('HMGET', 'slots:slot:' .. slot, 'node', 'rate', 'request', 'session', 'started')
  if not names[1] then return nil end
  redis.call('ZREM', 'slots:all', slot)
  redis.call('ZREM', 'slots:of:' .. names[1], slot)
  redis.call('DEL', 'slots:slot:' .. slot)
  freed = true
  return {rate = names[2], request = names[3], session = names[4], started = names[5]}
end

local function slot_record_end(slot, was)
  if not was.started then return end
  redis.call('ZADD', 'slots:ended', now, slot)
  redis.call('PEXPIRE', 'slots:ended', KEEP_ENDED_MS)
  if was.session ~= '' then redis.call('PEXPIRE', 'slots:session:' .. was.session, KEEP_SESSION_MS) end
end

-- The end of a call: once; the second time nothing is left to free.
local function slot_end(slot)
  local was = slot_drop(slot)
  if not was then return false end
  slot_record_end(slot, was)
  rate_release(was.rate, was.request)
  return true
end

-- Binds a slot to the session that lives now, or renews it: also one whose lease has lapsed meanwhile, or that
-- Redis has lost, since the session is a fact. False for one that has ended, or whose end was told before it was bound.
local function slot_hold(slot, node, lease_ms, campaign, rate, request, session, rate_ms)
  if redis.call('ZSCORE', 'slots:ended', slot) then return false end
  slot_take(slot, node, lease_ms, campaign, rate, request, 0)
  redis.call('HSET', 'slots:slot:' .. slot, 'session', session)
  redis.call('HSETNX', 'slots:slot:' .. slot, 'started', now)
  if session ~= '' then
    redis.call('SET', 'slots:session:' .. session, slot, 'PX', lease_ms + KEEP_SESSION_MS)
  end
  rate_hold(rate, request, now + rate_ms)
  if session ~= '' and redis.call('DEL', 'slots:early:' .. session) == 1 then return not slot_end(slot) end
  return true
end

-- Leases that ran out. A call that is alive after all takes its slot again by slot_hold.
local function slots_lapse()
  if calm() then return 0 end
  local late = redis.call('ZRANGEBYSCORE', 'slots:all', '-inf', now, 'LIMIT', 0, 100)
  for _, slot in ipairs(late) do
    local was = slot_drop(slot)
    if was then rate_release(was.rate, was.request) else redis.call('ZREM', 'slots:all', slot) end
  end
  return #late
end

-- The last act of a script: hints to every node. 'slot': somebody may be served; 'queue': positions changed.
local function desk_tell()
  if redis.call('ZCARD', 'queue:waiting') == 0 then return end
  if freed then
    redis.call('PUBLISH', 'desk:moves', 'slot')
  elseif moved then
    redis.call('PUBLISH', 'desk:moves', 'queue')
  end
end

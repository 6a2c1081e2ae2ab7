-- SPDX-License-Identifier: Apache-2.0
-- What time does: leases lapse, those who were served by a node that died go back, those who left are removed. ARGV:
-- target and args for the client of an entry whose servers die again and again. Answers {lapsed, returned, failed,
-- left, slots, waiting}.
local MOST_CRASHES = 3
local _, target, args = unpack(ARGV)
local beat = tonumber(redis.call('GET', 'desk:beat') or now)
redis.call('SET', 'desk:beat', now)
if now - beat > GAP_MS then redis.call('SET', 'desk:calm', now + GAP_MS) end
local count = {lapsed = 0, returned = 0, failed = 0, left = 0}

for _, id in ipairs(redis.call('ZRANGEBYSCORE', 'queue:taken', '-inf', now, 'LIMIT', 0, 100)) do
  local entry = redis.call('HMGET', 'queue:entry:' .. id, 'lease', 'rate', 'campaign')
  if entry[1] then slot_drop(entry[1]) end
  if not entry[3] or redis.call('HINCRBY', 'queue:entry:' .. id, 'crashes', 1) >= MOST_CRASHES then
    rate_give_back(entry[2], id)
    queue_done(id, target, args)
    count.failed = count.failed + 1
  else
    queue_back(id)
    count.returned = count.returned + 1
  end
end
count.lapsed = slots_lapse()

local gone = calm() and {} or redis.call('ZRANGEBYSCORE', 'queue:presence', '-inf', now, 'LIMIT', 0, 100)
for _, id in ipairs(gone) do
  local entry = redis.call('HMGET', 'queue:entry:' .. id, 'state', 'campaign', 'rate')
  if entry[1] == 'waiting' then
    queue_leave(id, entry[2])
    rate_release(entry[3], id)
    redis.call('DEL', 'queue:entry:' .. id)
    count.left = count.left + 1
  end
  -- One that is being served is looked at again when it comes back.
  if entry[1] ~= 'serving' then redis.call('ZREM', 'queue:presence', id) end
end

redis.call('ZREMRANGEBYSCORE', 'slots:ended', '-inf', now - KEEP_ENDED_MS)
freed = freed or count.returned > 0
desk_tell()
return {count.lapsed, count.returned, count.failed, count.left, redis.call('ZCARD', 'slots:all'),
  redis.call('ZCARD', 'queue:waiting')}

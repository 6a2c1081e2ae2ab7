-- SPDX-License-Identifier: Apache-2.0
-- A client asks what became of its request. ARGV: id. Answers {position, eta, target, args}: position 0 is
-- being served, -1 unknown, -2 done: then target and args say what it is to be told.
local entry = redis.call('HMGET', 'queue:entry:' .. ARGV[2], 'state', 'campaign', 'target', 'args')
if not entry[1] then return {-1, -1, '', ''} end
if entry[1] == 'done' then return {-2, -1, entry[3], entry[4]} end
redis.call('ZADD', 'queue:presence', now + PRESENT_MS, ARGV[2])
local position = queue_position(queue_view(), ARGV[2], entry[2])
return {position, position > 0 and queue_eta(position) or -1, '', ''}

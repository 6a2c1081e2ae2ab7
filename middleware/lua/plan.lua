-- SPDX-License-Identifier: Apache-2.0
-- The platform's figures. ARGV: most calls ('' = no limit known), calls now by its count (-1 = not said), when it was
-- asked (ms). What is not ours is others'. Ours may be in its count from the moment we ask for one; and one that ended
-- while it was asked may still be in: neither is counted twice.
local KEEP_MS = 300000 -- of a platform that answers no more
local _, max, current, at = unpack(ARGV)
at = tonumber(at)
if max == '' then
  freed = redis.call('DEL', 'slots:plan') == 1
elseif at >= tonumber(redis.call('HGET', 'slots:plan', 'at') or 0) then
  local ours = redis.call('ZCARD', 'slots:all') + redis.call('ZCOUNT', 'slots:ended', at, '+inf')
  redis.call('HSET', 'slots:plan', 'max', max, 'others', math.max(0, tonumber(current) - ours), 'at', at)
  redis.call('PEXPIRE', 'slots:plan', KEEP_MS)
  freed = slots_room('', 0)
end
desk_tell()
return 0

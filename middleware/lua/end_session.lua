-- SPDX-License-Identifier: Apache-2.0
-- A conversation is over. ARGV: its id. Answers 1; 0 when it was over already; -1 when nobody knows it: if
-- it is just being made, its slot ends as soon as it is bound.
local slot = redis.call('GET', 'slots:session:' .. ARGV[2])
if not slot then
  redis.call('SET', 'slots:early:' .. ARGV[2], '1', 'PX', KEEP_EARLY_MS)
  return -1
end
local ended = slot_end(slot)
desk_tell()
return ended and 1 or 0

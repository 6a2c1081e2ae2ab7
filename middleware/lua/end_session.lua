-- SPDX-License-Identifier: Apache-2.0
-- A conversation is over. ARGV: its id. Answers 1; 0 when it was over already; -1 when nobody knows it.
local slot = redis.call('GET', 'slots:session:' .. ARGV[2])
if not slot then return -1 end
local ended = slot_end(slot)
desk_tell()
return ended and 1 or 0

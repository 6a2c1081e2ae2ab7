-- SPDX-License-Identifier: Apache-2.0
-- Sessions that live: binds their slots, or renews them. ARGV: node, slot lease ms, rate ms, then of each: slot,
-- session, campaign, rate, request. Answers the slots that have ended meanwhile.
local ended = {}
for i = 5, #ARGV, 5 do
  if not slot_hold(ARGV[i], ARGV[2], tonumber(ARGV[3]), ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 1], tonumber(ARGV[4])) then
    ended[#ended + 1] = ARGV[i]
  end
end
desk_tell()
return ended

-- SPDX-License-Identifier: Apache-2.0
-- A slot ends, because its session has, or (ARGV[3] '1') because it never came to one: then its place in the limits
-- is given back. ARGV: slot, that. Answers 1, or 0 when it had ended.
local ended
if ARGV[3] == '1' then
  local was = slot_drop(ARGV[2])
  if was then rate_give_back(was.rate, was.request) end
  ended = was ~= nil
else
  ended = slot_end(ARGV[2])
end
desk_tell()
return ended and 1 or 0

-- SPDX-License-Identifier: Apache-2.0
-- An entry that could not be served now goes back to where it stood, with its place in the limits. ARGV: id, slot,
-- most tries (0: this does not count as one), first pause ms, longest pause ms. Each refusal doubles its campaign's
-- pause. Answers ms of pause; -1 when it was tried often enough (and is still served); -2 when it is not served with
-- this slot any more.
local _, id, slot, most, pause_ms, longest_ms = unpack(ARGV)
if not queue_is_mine(id, slot) then
  slot_drop(slot)
  desk_tell()
  return -2
end
local pause = 0
if tonumber(most) > 0 then
  local tries = redis.call('HINCRBY', 'queue:entry:' .. id, 'tries', 1)
  if tries > tonumber(most) then return -1 end
  pause = math.min(tonumber(pause_ms) * 2 ^ (tries - 1), tonumber(longest_ms))
end
slot_drop(slot)
local campaign = queue_back(id)
if pause > 0 then queue_pause(campaign, pause) end
desk_tell()
return pause

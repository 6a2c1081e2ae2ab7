-- SPDX-License-Identifier: Apache-2.0
-- Takes who is next, each with a slot, as many as there is room for. ARGV: node, its max, how many at most, name
-- of the slots (a number is appended), whether the node can hold calls of its own ('1').
-- Answers {ms until a pause ends or -1, {id, slot, text, campaign, ms waited}...}; text '' when it is lost.
local _, node, node_max, most, name, media = unpack(ARGV)
slots_lapse()
local answer, blocked, wake = {-1}, {}, nil
local count = 0
while count < tonumber(most) and slots_room(node, tonumber(node_max)) do
  local best, pause = queue_next(blocked)
  wake = pause or wake
  if not best then break end
  local entry = redis.call('HMGET', 'queue:entry:' .. best.id, 'text', 'transport', 'rate', 'since')
  if entry[2] == '1' and media ~= '1' then
    blocked[best.campaign] = true
  else
    count = count + 1
    local slot = name .. '-' .. count
    queue_serve(best, slot)
    slot_take(slot, node, START_MS, best.campaign, entry[3] or '', best.id, 0)
    answer[count + 1] = {best.id, slot, entry[1] or '', best.campaign, now - tonumber(entry[4] or now)}
  end
end
if wake then answer[1] = wake - now end
desk_tell()
return answer

-- SPDX-License-Identifier: Apache-2.0
-- A newcomer: a slot, or a place in the queue, in one step, so that nobody overtakes and no two take the same.
-- ARGV: slot, node, its max (0 = none, -1 = it takes nobody now), id, campaign, weight, rate, text, transport, most who may wait. Answers {1} a slot; {2, position, eta} queued; {0, waiting} neither.
local _, slot, node, node_max, id, campaign, weight, rate, text, transport, most = unpack(ARGV)
slots_lapse()
local seq = redis.call('INCR', 'queue:seq')
local waiting = redis.call('ZCARD', 'queue:waiting')
if waiting == 0 and slots_room(node, tonumber(node_max)) then
  slot_take(slot, node, START_MS, campaign, rate, id, seq)
  return {1}
end
if waiting >= tonumber(most) then
  desk_tell()
  return {0, waiting}
end
queue_push({id = id, text = text, transport = transport, campaign = campaign, weight = weight, seq = seq, tries = 0,
  rate = rate})
-- It may be this node alone that is full.
freed = freed or slots_room('', 0)
desk_tell()
local position = queue_position(queue_view(), id, campaign)
return {2, position, queue_eta(position)}

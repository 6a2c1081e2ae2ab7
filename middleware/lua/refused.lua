-- SPDX-License-Identifier: Apache-2.0
-- A newcomer got a slot, and then the platform had no room: he stands first in the queue, in the place he asked
-- at, and what he took of the limits stays taken. ARGV: slot, id, campaign, weight, rate, text, transport,
-- pause ms. Answers {position, eta}.
local _, slot, id, campaign, weight, rate, text, transport, pause_ms = unpack(ARGV)
local seq = redis.call('HGET', 'slots:slot:' .. slot, 'seq') or redis.call('INCR', 'queue:seq')
slot_drop(slot)
queue_push({id = id, text = text, transport = transport, campaign = campaign, weight = weight, seq = seq, tries = 1,
  rate = rate})
queue_pause(campaign, tonumber(pause_ms))
desk_tell()
local position = queue_position(queue_view(), id, campaign)
return {position, queue_eta(position)}

-- SPDX-License-Identifier: Apache-2.0
-- The outcome of serving an entry, stored once. ARGV: id, slot, whether there is a session ('1'), target, args, node,
-- session, slot lease ms, rate ms. Answers 1; 0 when the entry is not served with this slot any
-- more: then the slot is freed, and the session is nobody's.
local _, id, slot, made, target, args, node, session, lease_ms, rate_ms = unpack(ARGV)
if not queue_is_mine(id, slot) then
  slot_drop(slot)
  desk_tell()
  return 0
end
local entry = redis.call('HMGET', 'queue:entry:' .. id, 'rate', 'campaign')
if made == '1' then
  slot_hold(slot, node, tonumber(lease_ms), entry[2] or '', entry[1] or '', id, session, tonumber(rate_ms))
else
  slot_drop(slot)
  rate_give_back(entry[1], id)
end
queue_done(id, target, args)
desk_tell()
return 1

-- SPDX-License-Identifier: Apache-2.0
-- Clients that are connected to a node. ARGV: ids. Answers for each {position, eta}: position 0
-- is being served, -1 unknown, -2 done.
local answer, view = {}, queue_view()
for i = 2, #ARGV do
  local id = ARGV[i]
  local entry = redis.call('HMGET', 'queue:entry:' .. id, 'state', 'campaign', 'rate')
  local position = -1
  if entry[1] == 'done' then
    position = -2
  elseif entry[1] then
    redis.call('ZADD', 'queue:presence', now + PRESENT_MS, id)
    rate_hold(entry[3], id, now + RATE_MS)
    position = queue_position(view, id, entry[2])
  end
  answer[i - 1] = {position, position > 0 and queue_eta(position) or -1}
end
return answer

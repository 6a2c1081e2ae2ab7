-- SPDX-License-Identifier: Apache-2.0
-- What must hold in Redis at every moment, whatever has happened. ARGV: the time in ms ('' = that of Redis), most
-- slots, how long after its deadline a lease may still be there (ms; nobody sweeps in time by a clock that jumps),
-- whether somebody may be on the way from the limits to the desk ('1': then his lease has no owner yet).
-- Answers {slots, waiting, serving, leases of the limits, session of each slot...}, or the error.
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local function bad(...) return redis.error_reply('INVARIANT ' .. table.concat({...}, ' ')) end

-- Slots: never too many, each with its hash and in the list of its node, and each of somebody.
local owners, sessions, slots = {}, {}, redis.call('ZRANGE', 'slots:all', 0, -1, 'WITHSCORES')
if #slots / 2 > tonumber(ARGV[2]) then return bad('too many slots:', #slots / 2) end
for i = 1, #slots, 2 do
  local slot = redis.call('HMGET', 'slots:slot:' .. slots[i], 'node', 'request', 'started', 'session')
  if not slot[1] then return bad('no hash of', slots[i]) end
  if redis.call('ZSCORE', 'slots:of:' .. slot[1], slots[i]) ~= slots[i + 1] then return bad('node of', slots[i]) end
  if tonumber(slots[i + 1]) + tonumber(ARGV[3]) < now then return bad('lapsed long ago:', slots[i]) end
  local entry = redis.call('HMGET', 'queue:entry:' .. slot[2], 'state', 'lease')
  if not slot[3] and entry[1] and entry[2] ~= slots[i] then return bad('a slot of nobody', slots[i]) end
  if slot[4] and slot[4] ~= '' then
    if sessions[slot[4]] then return bad('two slots of', slot[4]) end
    sessions[slot[4]] = true
    sessions[#sessions + 1] = slot[4]
  end
  if owners[slot[2]] then return bad('two slots for', slot[2]) end
  owners[slot[2]] = true
end
if #redis.call('KEYS', 'slots:slot:*') ~= #slots / 2 then return bad('hashes without slots') end
local sum = 0
for _, key in ipairs(redis.call('KEYS', 'slots:of:*')) do sum = sum + redis.call('ZCARD', key) end
if sum ~= #slots / 2 then return bad('slots of nodes') end

-- The queue: whoever waits is in the line of his campaign, and in no other state.
sum = 0
for _, key in ipairs(redis.call('KEYS', 'queue:of:*')) do
  sum = sum + redis.call('ZCARD', key)
  if not redis.call('ZSCORE', 'queue:active', key:sub(10)) then return bad('not active', key) end
end
local waiting = redis.call('ZRANGE', 'queue:waiting', 0, -1, 'WITHSCORES')
if sum ~= #waiting / 2 then return bad('waiting') end
if redis.call('ZCARD', 'queue:active') ~= #redis.call('KEYS', 'queue:of:*') then return bad('active') end
for i = 1, #waiting, 2 do
  local entry = redis.call('HMGET', 'queue:entry:' .. waiting[i], 'state', 'seq', 'text')
  if entry[1] ~= 'waiting' or entry[2] ~= waiting[i + 1] or not entry[3] then return bad('entry', waiting[i]) end
  if not redis.call('ZSCORE', 'queue:presence', waiting[i]) then return bad('presence of', waiting[i]) end
  if owners[waiting[i]] then return bad('waits and has a slot', waiting[i]) end
  owners[waiting[i]] = true
end
local taken = redis.call('ZRANGE', 'queue:taken', 0, -1, 'WITHSCORES')
for i = 1, #taken, 2 do
  local entry = redis.call('HMGET', 'queue:entry:' .. taken[i], 'state', 'lease')
  if entry[1] ~= 'serving' then return bad('taken', taken[i]) end
  if not redis.call('ZSCORE', 'slots:all', entry[2]) then return bad('served without a slot', taken[i]) end
  if tonumber(taken[i + 1]) + tonumber(ARGV[3]) < now then return bad('served for ever', taken[i]) end
end
sum = #waiting / 2 + #taken / 2
for _, key in ipairs(redis.call('KEYS', 'queue:entry:*')) do
  if redis.call('HGET', key, 'state') ~= 'done' then sum = sum - 1 end
end
if sum ~= 0 then return bad('entries that neither wait nor are served:', -sum) end

-- The limits: no lease without somebody who waits, is served, or has a session.
local held = 0
for _, key in ipairs(redis.call('KEYS', 'ratelimit:leases:*')) do
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', key, now + 1, '+inf')) do
    held = held + 1
    if not owners[id] and ARGV[4] ~= '1' then return bad('a lease of nobody', id) end
  end
end
return {#slots / 2, #waiting / 2, #taken / 2, held, unpack(sessions)}

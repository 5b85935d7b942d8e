-- Tells a process how many slots it may hold. See redis_semaphore.py.
--
-- KEYS: processes by the end of their lease; the state; the channel of news; pauses by their end
-- ARGV: process, lease ms, most slots, reserve, held online, held batch, waiting online,
--       waiting batch, answers, cuts, pause of batches ms, most pauses,
--       then a name and ms for each pause of a model
-- The state has fields `o:`, `b:` (what a process may hold, online and batch), `v:`, `w:` (how many
-- more it wants) with the process behind them, those of the cap and of the peak.

-- What is left of the cap where the provider says "too much", and the shortest time between two
-- such cuts, since the answers to one burst come together. 0.7 is CUBIC's (RFC 9438, 4.6).
local CUT, PAUSE = 0.7, 1000

-- Batches leave free, beside the reserve, what online calls had lately: once the reserve is used up,
-- an online call waits until a batch's call ends, at random. Each answer forgets some of it, so that
-- the memory is as long as calls are, and each second most of it, so that it ends without any.
-- It is at most twice the reserve. Measured at 60 % online beside two batches, on 50 slots:
-- the 99th percentile of the wait went from 21 to 4 ms, and batches had 0.93
-- instead of 1.08 of what online calls left beside the reserve.
local FORGOTTEN, MEMORY, MARGIN = 0.04, 1000, 2

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local me, lease, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local reserve = math.min(tonumber(ARGV[4]), most - 1)
for _, dead in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)) do
  redis.call('HDEL', KEYS[2], 'o:' .. dead, 'b:' .. dead, 'v:' .. dead, 'w:' .. dead)
  redis.call('ZREM', KEYS[1], dead)
end
local known = redis.call('ZSCORE', KEYS[1], me)
local mine = {
  o = tonumber(ARGV[5]), b = tonumber(ARGV[6]),
  v = tonumber(ARGV[7]), w = tonumber(ARGV[8]),
}
local other, before, fields = {o = 0, b = 0, v = 0, w = 0}, {o = 0, b = 0, v = 0, w = 0}, {}
local rows = redis.call('HGETALL', KEYS[2])
for i = 1, #rows, 2 do
  local kind, colon = string.sub(rows[i], 1, 1), string.sub(rows[i], 2, 2)
  local value = tonumber(rows[i + 1])
  if colon ~= ':' then fields[rows[i]] = value
  elseif string.sub(rows[i], 3) == me then before[kind] = value
  else other[kind] = other[kind] + value end
end

-- The cap shrinks by a share and grows by one for each round of answers (AIMD).
local cap = math.min(most, fields.cap or most)
local cut_at = fields.cut_at or 0
if tonumber(ARGV[10]) > 0 then
  if now - cut_at >= PAUSE then cap, cut_at = math.max(reserve + 1, cap * CUT), now end
else
  cap = math.min(most, cap + tonumber(ARGV[9]) / cap)
end
local paused_batch = math.max(fields.paused_batch or 0, now + tonumber(ARGV[11]))
local open = math.floor(cap)

-- A model may be any word of a caller: those whose pause ends first are forgotten.
for i = 13, #ARGV, 2 do
  local known_end = tonumber(redis.call('ZSCORE', KEYS[4], ARGV[i]) or 0)
  redis.call('ZADD', KEYS[4], math.max(known_end, now + tonumber(ARGV[i + 1])), ARGV[i])
end
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', now)
redis.call('ZREMRANGEBYRANK', KEYS[4], 0, -1 - tonumber(ARGV[12]))
local pauses = redis.call('ZRANGE', KEYS[4], 0, -1, 'WITHSCORES')
if #pauses > 0 then redis.call('PEXPIREAT', KEYS[4], pauses[#pauses]) end

-- Where all together want more than there is, each process gets its share by what it wants.
local function granted(kind, waiting, room)
  local want, everyone = mine[kind] + mine[waiting], other[kind] + other[waiting]
  local share = want
  if want + everyone > room then share = math.ceil(room * want / (want + everyone)) end
  return math.max(mine[kind], math.min(want, share, room - other[kind]))
end
local online = granted('o', 'v', open - other.b - mine.b)
local wanted_online = mine.o + mine.v + other.o + other.v
local excess = math.max(0, (fields.peak or 0) - wanted_online)
excess = excess * (1 - FORGOTTEN) ^ tonumber(ARGV[9]) * math.exp(((fields.at or now) - now) / MEMORY)
local peak = wanted_online + math.min(excess, MARGIN * reserve)
local unmet = other.v + mine.o + mine.v - online
local batch = mine.b
if unmet <= 0 and now >= paused_batch then
  batch = granted('b', 'w', open - reserve - math.floor(peak + 0.5))
end

redis.call('HSET', KEYS[2],
  'cap', cap, 'cut_at', cut_at, 'paused_batch', paused_batch, 'peak', peak, 'at', now,
  'o:' .. me, online, 'b:' .. me, batch,
  'v:' .. me, mine.o + mine.v - online, 'w:' .. me, mine.b + mine.w - batch)
redis.call('ZADD', KEYS[1], now + lease, me)
redis.call('PEXPIRE', KEYS[1], 10 * lease)
redis.call('PEXPIRE', KEYS[2], 10 * lease)

-- Others hear where they may get more, and where they should give back what they do not use.
local freed = before.o + before.b - online - batch
local starved = mine.o + mine.v > online and before.v == 0
if starved or (freed > 0 and (other.v > 0 or (other.w > 0 and unmet <= 0))) then
  redis.call('PUBLISH', KEYS[3], me)
end
local wanted = 0
if other.v > 0 or (other.w > 0 and unmet <= 0) then wanted = 1 end
return {
  online, batch, wanted, math.floor(cap), redis.call('ZCARD', KEYS[1]),
  other.o + online, other.b + batch, known and 1 or 0, now, pauses,
}

-- Token buckets from which one call takes, from all or from none. See rates.py.
--
-- KEYS: the buckets, each the moment, in µs, at which it is full again
-- ARGV: for each its size, which flows in within a minute, and what the call takes
-- Tells for each the µs until it is full, and until the call may come: 0 if it has taken.

local MINUTE = 60000000
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local full, taken, longest = {}, {}, 0
for i, key in ipairs(KEYS) do
  full[i] = math.max(tonumber(redis.call('GET', key) or 0), now)
  taken[i] = full[i] + ARGV[2 * i] * MINUTE / ARGV[2 * i - 1]
  longest = math.max(longest, taken[i] - now - MINUTE)
end
local allowed = longest < 1
local found = {}
for i, key in ipairs(KEYS) do
  local left = allowed and taken[i] or full[i]
  table.insert(found, math.floor(left - now + 0.5))
  table.insert(found, allowed and 0 or math.ceil(math.max(0, taken[i] - now - MINUTE)))
  if allowed then redis.call('SET', key, string.format('%.0f', left), 'EX', 60) end
end
return found

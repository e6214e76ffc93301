-- expire_holds: end due holds of one root, oldest first, and forget the names of counters that are gone.
--
-- KEYS 1 the leases
-- ARGV 1 prefix  2 how many at most
-- Answers how many holds ended

local now = now_ms()
local ended = reap(ARGV[1], now, tonumber(ARGV[2]))
call('ZREMRANGEBYSCORE', ARGV[1] .. 'c', '-inf', now)
return ended

-- Ends a key: its record, and its place in the index where no other key has taken it. Repeating it is harmless.
--
-- KEYS  1 index  2 version  3 record
-- ARGV  1 key id  2 digest

redis.call('DEL', KEYS[3])
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then
  redis.call('HDEL', KEYS[1], ARGV[1])
end
redis.call('INCR', KEYS[2])
return 1

-- Puts a key's record and its place in the index, and tells every gateway that something has changed.
-- Repeating it changes nothing. 1: done. 0: another key than the expected one stands there, nothing was written.
--
-- KEYS  1 index  2 version  3 record  4 record of the key that it replaces
-- ARGV  1 key id  2 digest  3 record  4 digest expected in the index, '' for none
--       5 last record of the replaced key  6 ms that it stays good, 0 for not at all

local stands = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if stands == ARGV[2] then return 1 end
if stands ~= ARGV[4] then return 0 end
redis.call('SET', KEYS[3], ARGV[3])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if stands ~= '' then
  if tonumber(ARGV[6]) > 0 then
    redis.call('SET', KEYS[4], ARGV[5], 'PX', ARGV[6])
  else
    redis.call('DEL', KEYS[4])
  end
end
redis.call('INCR', KEYS[2])
return 1

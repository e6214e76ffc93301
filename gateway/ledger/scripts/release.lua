-- release: end a hold that cost nothing. After its lease had expired the watermark is given back.
--
-- KEYS 1 the row
-- ARGV 1 prefix  2 member  3 id_ms  4 reason
-- Answers  OK (a repeat too; and where there is no row one is left, so that a reserve still under way finds it),
--          CONFLICT, STALE: nothing changed

local prefix, member = ARGV[1], ARGV[2]
local row = redis.call('GET', KEYS[1])
local state, index, amounts, _, plan
if row then state, index, amounts, _, plan = parse(row) end
local ended = 'released\n' .. (index or '0') .. '\n\n\n'

if not row then
  if foreign(tonumber(ARGV[3]), now_ms()) then return 'STALE' end
  redis.call('SET', KEYS[1], ended, 'PX', KEEP_MS)
  return 'OK'
end
if state == 'held' or state == 'expired' then
  local counters = counters_of(prefix, plan, state == 'held')
  redis.call('SET', KEYS[1], ended, 'PX', KEEP_MS)
  if state == 'held' then
    hold(counters, amounts_of(amounts), '-')
    journal(prefix, 'release ' .. ARGV[4], member, plan, amounts, '', '')
  else
    spend(counters, amounts_of(amounts), '-')
    journal(prefix, 'release ' .. ARGV[4], member, plan, '', '', amounts)
  end
  redis.call('ZREM', prefix .. 'l', member)
  return 'OK'
end
if state == 'settled' then return 'CONFLICT' end
return 'OK'

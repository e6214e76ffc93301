-- release_hold: end a hold that cost nothing. After its lease had expired the watermark is given back.
--
-- KEYS 1 the row
-- ARGV 1 prefix  2 member  3 reason
-- Answers  OK (a repeat too; and where there is no row one is left, so that a reserve still under way finds it),
--          CONFLICT, STALE: nothing changed

local prefix, member = ARGV[1], ARGV[2]
local row = call('GET', KEYS[1])
local state, index, amounts, _, plan
if row then state, index, amounts, _, plan = parse(row) end

local function leave() call('SET', KEYS[1], 'released\n' .. (index or '0') .. '\n\n\n', 'PX', KEEP_MS) end

if not row then
  if foreign(member, now_ms()) then return 'STALE' end
  leave()
  return 'OK'
end
if state == 'held' or state == 'expired' then
  local late, less = state == 'expired', negative(amounts_of(amounts))
  local counters = counters_of(prefix, plan, not late)
  add(counters, late and less or nil, late and {} or less)
  leave()
  write(prefix, counters)
  call('ZREM', prefix .. 'l', member)
  journal(prefix, 'release ' .. ARGV[3], member, '', late and amounts or '', plan)
  return 'OK'
end
if state == 'settled' then return 'CONFLICT' end
return 'OK'

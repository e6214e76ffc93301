-- settle: end a hold and book what was spent, even above what was held. Settling never refuses.
--
-- KEYS 1 the row
-- ARGV 1 prefix  2 member  3 id_ms  4 amounts  5 basis  6 plan or ''
--      7 summary or ''  8 where the summary is found  9 the alias that leads there or ''
-- Answers  OK       booked (held), or the difference to the watermark was booked (expired), or booked anew (lost)
--          SAME     booked before, with these amounts
--          ABSENT   the row is lost and no plan was given: send it again with the plan
--          CONFLICT ended differently: nothing changed
--          STALE    forgotten: nothing changed

local prefix, member = ARGV[1], ARGV[2]
local spent = amounts_of(ARGV[4])
local row = redis.call('GET', KEYS[1])

local function finish(op, index, plan, held, back)
  local counters = counters_of(prefix, plan)
  redis.call('SET', KEYS[1], 'settled\n' .. index .. '\n' .. ARGV[4] .. '\n\n', 'PX', KEEP_MS)
  if held ~= '' then hold(counters, amounts_of(held), '-') end
  spend(counters, spent, '')
  if back ~= '' then
    local charged = amounts_of(back)
    for unit = 1, 5 do
      if spent[unit] == '' then charged[unit] = '' end  -- unknown is not zero: what the watermark charged stays
    end
    spend(counters, charged, '-')
    back = table.concat(charged, ' ', 1, 5)
  end
  keep_all(prefix, counters)
  redis.call('ZREM', prefix .. 'l', member)
  if ARGV[7] ~= '' then
    redis.call('SET', prefix .. ARGV[8], ARGV[7], 'PX', KEEP_MS)
    if ARGV[9] ~= '' then redis.call('SET', prefix .. ARGV[9], '>' .. ARGV[8], 'PX', KEEP_MS) end
  end
  journal(prefix, op .. ' ' .. ARGV[5], member, plan, held, ARGV[4], back)
  return 'OK'
end

if not row then
  if foreign(tonumber(ARGV[3]), now_ms()) then return 'STALE' end
  if ARGV[6] == '' then return 'ABSENT' end
  return finish('create', '0', ARGV[6], '', '')
end
local state, index, amounts, _, plan = parse(row)
if state == 'held' then return finish('settle', index, plan, amounts, '') end
if state == 'expired' then return finish('late', index, plan, '', amounts) end
if state == 'settled' and amounts == ARGV[4] then return 'SAME' end
return 'CONFLICT'

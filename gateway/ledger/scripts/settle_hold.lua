-- settle_hold: end a hold and book what was spent, even above what was held. Settling never refuses.
--
-- KEYS 1 the row
-- ARGV 1 prefix  2 member  3 amounts  4 basis  5 plan or ''
--      6 summary or ''  7 where the summary is found  8 the alias that leads there or ''
-- Answers  OK       booked (held), or the difference to the watermark was booked (expired), or booked anew (lost)
--          SAME     booked before, with these amounts
--          ABSENT   the row is lost and no plan was given: send it again with the plan
--          CONFLICT ended differently: nothing changed
--          STALE    forgotten: nothing changed

local prefix, member = ARGV[1], ARGV[2]
local spent = amounts_of(ARGV[3])
local row = call('GET', KEYS[1])

local function finish(op, index, plan, held, charged)
  local counters, more, back = counters_of(prefix, plan), spent, ''
  if charged then
    more, back = {}, {}
    for unit = 1, 5 do  -- unknown is not zero: what the watermark charged stays
      local known = spent[unit] and charged[unit]
      more[unit], back[unit] = spent[unit] and spent[unit] - (charged[unit] or 0), known and format('%d', known) or ''
    end
    back = table.concat(back, ' ')
  end
  add(counters, more, held and negative(held) or {})
  call('SET', KEYS[1], table.concat({'settled', index, ARGV[3], '', ''}, '\n'), 'PX', KEEP_MS)
  write(prefix, counters)
  if held then call('ZREM', prefix .. 'l', member) end
  if ARGV[6] ~= '' then
    call('SET', prefix .. ARGV[7], ARGV[6], 'PX', KEEP_MS)
    if ARGV[8] ~= '' then call('SET', prefix .. ARGV[8], '>' .. ARGV[7], 'PX', KEEP_MS) end
  end
  journal(prefix, op .. ' ' .. ARGV[4], member, ARGV[3], back, plan)
  return 'OK'
end

if not row then
  if foreign(member, now_ms()) then return 'STALE' end
  if ARGV[5] == '' then return 'ABSENT' end
  return finish('create', '0', ARGV[5])
end
local state, index, amounts, _, plan = parse(row)
if state == 'held' then return finish('settle', index, plan, amounts_of(amounts)) end
if state == 'expired' then return finish('late', index, plan, nil, amounts_of(amounts)) end
if state == 'settled' and amounts == ARGV[3] then return 'SAME' end
return 'CONFLICT'

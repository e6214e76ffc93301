-- reserve_hold: hold the first of one to three candidates whose every limit fits, or none.
--
-- KEYS 1 the row
-- ARGV 1 prefix  2 member  3 lease_ms  4 watermark  5 windows hold from  6 to (ms, or '')  7 number of plans P
--      then for each plan: plan; checks: its lines that limit or are reported, spending nothing; rules: for each of
--      these 'limits report\n', limits being 'n,n,' in the order of held, report '1' or ''
--      then for each candidate: amounts, number of its plan
-- Answers  {'OK', index, reaped, check, balance, ...}   check: which line; balance: what it stands at now, as a counter
--          {'NO', check, unit, limit, spent, held, asked or '', reaped}   a line of the first candidate's checks
--          {'WINDOW'}  a window is not the current one: nothing changed, ask again with the right ones
--          {'STALE', why}
-- A repeat gives the same verdict: while the hold lives, and for 60 s after a denial.

local DENIAL_MS = 60000
local REAPED_MOST = 8
local prefix, member, plans = ARGV[1], ARGV[2], tonumber(ARGV[7])
local looks = {}

local function amounts_text(candidate) return ARGV[8 + plans * 3 + (candidate - 1) * 2] end
local function plan_number(candidate) return tonumber(ARGV[9 + plans * 3 + (candidate - 1) * 2]) end

-- The counters of a candidate's checks as they stand.
local function look(candidate)
  local number = plan_number(candidate)
  if not looks[number] then
    local counters, limits, reports = counters_of(prefix, ARGV[6 + number * 3]), {}, {}
    for limit, report in string.gmatch(ARGV[7 + number * 3], '([%d,]*) (1?)\n') do
      limits[#limits + 1], reports[#reports + 1] = limit, report
    end
    counters.limits, counters.reports = limits, reports
    looks[number] = counters
  end
  return looks[number]
end

local function granted(index, reaped)
  local answer, counters = {'OK', index, reaped}, look(index)
  for line, report in ipairs(counters.reports) do
    if report == '1' then
      local value = counters.sums and counters.sums[line] or standing(counters, line)
      if counters.large and counters.large[line] then value = call('GET', counters.keys[line]) end
      answer[#answer + 1], answer[#answer + 2] = line, value
    end
  end
  return answer
end

-- The first limit that this candidate would pass, or nil.
local function obstacle(counters, amounts)
  for line, units in ipairs(counters.holds) do
    if units ~= '' then
      local value, i = standing(counters, line), 0
      for limit in string.gmatch(counters.limits[line], '%d+') do
        i = i + 1
        local unit = string.byte(units, i) - 48
        local asked = amounts[unit]
        local spent = unit < 6 and parts(ONE, value, unit * 8 - 7) or 0
        local held = #value == 88 and parts(ONE, value, unit * 8 + 33) or 0
        if not asked or spent + held + asked > tonumber(limit) then
          return {'NO', line, unit, limit, format('%d', spent), format('%d', held), asked and format('%d', asked) or ''}
        end
      end
    end
  end
  return nil
end

local row = call('GET', KEYS[1])
if row then
  local state, index = parse(row)
  if string.sub(row, 1, 7) == 'denied\n' then return cjson.decode(string.sub(row, 8)) end
  if state == 'held' then return granted(tonumber(index), 0) end
  return {'STALE', state}
end
local now = now_ms()
local stale = foreign(member, now)
if stale then return {'STALE', stale} end
if now < tonumber(ARGV[5]) or (ARGV[6] ~= '' and now >= tonumber(ARGV[6])) then return {'WINDOW'} end
local candidates = (#ARGV - 7 - plans * 3) / 2
local reaped = reap(prefix, now, REAPED_MOST)
local denial
for candidate = 1, candidates do
  local counters, asked = look(candidate), amounts_of(amounts_text(candidate))
  local passed = obstacle(counters, asked)
  if not passed then
    add(counters, nil, asked)
    local plan = ARGV[5 + plan_number(candidate) * 3]
    call('SET', KEYS[1], table.concat({'held', candidate, amounts_text(candidate), ARGV[4], plan}, '\n'))
    call('ZADD', prefix .. 'l', now + tonumber(ARGV[3]), member)
    write(prefix, counters)
    return granted(candidate, reaped)
  end
  denial = denial or passed
end
call('SET', KEYS[1], 'denied\n' .. cjson.encode(denial), 'PX', DENIAL_MS)
denial[8] = reaped
return denial

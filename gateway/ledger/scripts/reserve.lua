-- reserve: hold the first of one to three candidates whose every limit fits, or none.
--
-- KEYS 1 the row
-- ARGV 1 prefix  2 member  3 id_ms  4 lease_ms  5 watermark  6 number of counters C
--      then for each counter: plan line, window start, window end or '', limits 'unit:limit ...', '1' to report it
--      then for each candidate: amounts, positions of its counters 'p p ...' or '' for all
-- Answers  {'OK', index, reaped, position, balance, ...}   balance: spent and held of the six units
--          {'NO', position, unit, limit, spent, held, asked or '', reaped}
--          {'WINDOW'}  a window is not the current one: nothing changed, ask again with the right ones
--          {'STALE', why}
-- A repeat gives the same verdict: while the hold lives, and for 60 s after a denial.

local DENIAL_MS = 60000
local REAPED_MOST = 8
local FIRST, WIDTH = 7, 5
local prefix, member = ARGV[1], ARGV[2]
local count = tonumber(ARGV[6])

local function counter_arg(position, offset) return ARGV[FIRST + (position - 1) * WIDTH + offset] end

local function positions_of(candidate)
  local text, list = ARGV[FIRST + count * WIDTH + (candidate - 1) * 2 + 1], {}
  if text == '' then
    for position = 1, count do list[position] = position end
  else
    for position in string.gmatch(text, '%d+') do list[#list + 1] = tonumber(position) end
  end
  return list
end

local function amounts_text(candidate) return ARGV[FIRST + count * WIDTH + (candidate - 1) * 2] end

local function key_of(position)
  return prefix .. 'b:' .. string.match(counter_arg(position, 0), '^%S+')
end

local function granted(index, reaped)
  local answer = {'OK', index, reaped}
  for _, position in ipairs(positions_of(index)) do
    if counter_arg(position, 4) == '1' then
      answer[#answer + 1] = position
      answer[#answer + 1] = redis.call('HMGET', key_of(position), SPENT[1], HELD[1], SPENT[2], HELD[2],
        SPENT[3], HELD[3], SPENT[4], HELD[4], SPENT[5], HELD[5], SPENT[6], HELD[6])
    end
  end
  return answer
end

-- The first limit that this candidate would pass, or nil.
local function obstacle(positions, amounts)
  for _, position in ipairs(positions) do
    for unit, limit in string.gmatch(counter_arg(position, 3), '(%d):(%d+)') do
      unit = tonumber(unit)
      local stood = redis.call('HMGET', key_of(position), SPENT[unit], HELD[unit])
      local spent, held, asked = stood[1] or '0', stood[2] or '0', amounts[unit]
      if asked == '' or tonumber(spent) + tonumber(held) + tonumber(asked) > tonumber(limit) then
        return {'NO', position, unit, limit, spent, held, asked}
      end
    end
  end
  return nil
end

local now = now_ms()
local row = redis.call('GET', KEYS[1])
if row then
  local state, index = parse(row)
  if string.sub(row, 1, 7) == 'denied\n' then return cjson.decode(string.sub(row, 8)) end
  if state == 'held' then return granted(tonumber(index), 0) end
  return {'STALE', state}
end
local stale = foreign(tonumber(ARGV[3]), now)
if stale then return {'STALE', stale} end
for position = 1, count do
  local ends = counter_arg(position, 2)
  if now < tonumber(counter_arg(position, 1)) or (ends ~= '' and now >= tonumber(ends)) then return {'WINDOW'} end
end
amounts_of(ARGV[5])
local candidates = (#ARGV - FIRST - count * WIDTH + 1) / 2
local asked = {}
for candidate = 1, candidates do asked[candidate] = amounts_of(amounts_text(candidate)) end

local reaped = reap(prefix, now, REAPED_MOST)
local denial
for candidate = 1, candidates do
  local positions = positions_of(candidate)
  local passed = obstacle(positions, asked[candidate])
  if not passed then
    local lines = {}
    for i, position in ipairs(positions) do lines[i] = counter_arg(position, 0) end
    local plan, text = table.concat(lines), amounts_text(candidate)
    local counters = counters_of(prefix, plan, true)
    redis.call('SET', KEYS[1], table.concat({'held', candidate, text, ARGV[5], plan}, '\n'))
    redis.call('ZADD', prefix .. 'l', now + tonumber(ARGV[4]), member)
    hold(counters, asked[candidate], '')
    keep_all(prefix, counters)
    journal(prefix, 'reserve', member, plan, text, '', '')
    return granted(candidate, reaped)
  end
  denial = denial or passed
end
redis.call('SET', KEYS[1], 'denied\n' .. cjson.encode(denial), 'PX', DENIAL_MS)
denial[8] = reaped
return denial

-- Put in front of every script of the ledger when it is loaded. Words used by all of them:
--
-- prefix    'jg:{root}:'; every key a script touches begins with it, so all share the slot of KEYS[1]
-- member    '<request_id>:<attempt>', names a row (prefix 'r:' member) and its lease
-- amounts   'usd energy carbon tokens requests' in digits; an empty place is unknown and charges nothing
-- plan      one line per counter, 'suffix life held spent\n':
--             suffix  the counter is the hash prefix 'b:' suffix, with '<unit>:s' spent and '<unit>:h' held
--             life    '@ms' ends at that time (set once), '+ms' that long after each touch, '-' for ever
--             held    digits: which units are held here (those that are limited), '-' for none
--             spent   digits: which units are spent here
-- row       'held\nindex\namounts\nwatermark\nplan', 'expired\nindex\ncharged\n\nplan',
--           'settled\nindex\namounts\n\n', 'released\nindex\n\n\n', or 'denied\n' and the verdict
--
-- Counters change by HINCRBY with strings as they came: a Lua number is a double. The first write of a script is one
-- that Redis refuses when out of memory, so that a refused script has written nothing.

local SPENT = {'usd_nanos:s', 'energy_mj:s', 'carbon_ug:s', 'tokens:s', 'requests:s', 'concurrent:s'}
local HELD = {'usd_nanos:h', 'energy_mj:h', 'carbon_ug:h', 'tokens:h', 'requests:h', 'concurrent:h'}
local RETENTION_MS = 900000   -- an older id answers STALE
local KEEP_MS = 910000        -- rows outlive the retention by more than ids can run ahead of us
local AHEAD_MS = 5000         -- an id further in the future was not made from this server's time
local JOURNAL_LENGTH = 10000  -- about; older entries are dropped until something archives them

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function foreign(id_ms, now)
  if now - id_ms > RETENTION_MS then return 'forgotten' end
  if id_ms - now > AHEAD_MS then return 'future' end
  return nil
end

local function amounts_of(text)
  local amounts = {string.match(text, '^(%d+) (%d*) (%d*) (%d+) (%d+)$')}
  if not amounts[1] then error('bad amounts: ' .. text) end
  amounts[6] = '1'  -- concurrent: held once, never spent
  return amounts
end

local function parse(row)
  return string.match(row, '^(%a+)\n(%d*)\n([^\n]*)\n([^\n]*)\n(.*)$')
end

-- The counters of a plan. Reads each that will be written, so that a key of a wrong type stops the script before its
-- first write. only_held: those where something is held.
local function counters_of(prefix, plan, only_held)
  local counters = {}
  for suffix, life, held, spent in string.gmatch(plan, '(%S+) (%S+) (%S+) (%S+)\n') do
    if held ~= '-' or not only_held then
      local key = prefix .. 'b:' .. suffix
      counters[#counters + 1] = {key, suffix, life, held, spent, redis.call('HLEN', key) == 0}
    end
  end
  return counters
end

local function keep(prefix, counter)
  local key, suffix, life, new = counter[1], counter[2], counter[3], counter[6]
  local how = string.sub(life, 1, 1)
  if how == '+' then
    redis.call('PEXPIRE', key, string.sub(life, 2))
  elseif new then
    if how == '@' then redis.call('PEXPIREAT', key, string.sub(life, 2)) end
    redis.call('ZADD', prefix .. 'c', how == '@' and string.sub(life, 2) or '+inf', suffix)
  end
end

local function add(key, field, sign, digits)
  if digits ~= '' and digits ~= '0' then redis.call('HINCRBY', key, field, sign .. digits) end
end

local function hold(counters, amounts, sign)
  for _, counter in ipairs(counters) do
    for unit in string.gmatch(counter[4], '%d') do
      unit = tonumber(unit)
      add(counter[1], HELD[unit], sign, amounts[unit])
    end
  end
end

local function spend(counters, amounts, sign)
  for _, counter in ipairs(counters) do
    for unit in string.gmatch(counter[5], '%d') do
      unit = tonumber(unit)
      add(counter[1], SPENT[unit], sign, amounts[unit])
    end
  end
end

local function keep_all(prefix, counters)
  for _, counter in ipairs(counters) do keep(prefix, counter) end
end

-- One entry per transition: what it added to held and spent of every counter in the plan (see docs/decisions/0011).
local function journal(prefix, op, member, plan, held, spent, back)
  redis.call('XADD', prefix .. 'j', 'MAXLEN', '~', JOURNAL_LENGTH, '*',
    'n', redis.call('INCR', prefix .. 'n'), 'op', op, 'id', member, 'plan', plan,
    'held', held, 'spent', spent, 'back', back)
end

-- Ends a due hold: its watermark is charged. The lease goes last, so that no held row is ever without one.
local function expire(prefix, member)
  local row_key = prefix .. 'r:' .. member
  local row = redis.call('GET', row_key)
  local state, index, amounts, watermark, plan
  if row then state, index, amounts, watermark, plan = parse(row) end
  if state == 'held' then
    local counters = counters_of(prefix, plan)
    hold(counters, amounts_of(amounts), '-')
    spend(counters, amounts_of(watermark), '')
    keep_all(prefix, counters)
    redis.call('SET', row_key, 'expired\n' .. index .. '\n' .. watermark .. '\n\n' .. plan, 'PX', KEEP_MS)
    journal(prefix, 'expire', member, plan, amounts, watermark, '')
  end
  redis.call('ZREM', prefix .. 'l', member)
  return state == 'held'
end

local function reap(prefix, now, most)
  local ended = 0
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', prefix .. 'l', '-inf', now, 'LIMIT', 0, most)) do
    if expire(prefix, member) then ended = ended + 1 end
  end
  return ended
end

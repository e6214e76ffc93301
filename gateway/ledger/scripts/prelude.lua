-- Put in front of every script of the ledger when it is loaded. Words used by all of them:
--
-- prefix    'jg:{root}:'; every key a script touches begins with it, so all share the slot of KEYS[1]
-- member    '<request_id>:<attempt>', names a row (prefix 'r:' member) and its lease; an id begins with its time
-- amounts   'usd energy carbon tokens requests' in digits; an empty place is unknown and charges nothing
-- plan      one line per counter, 'suffix spent held life\n':
--             suffix  the counter is the key prefix 'b:' suffix
--             spent   digits: which units are spent here, 1 to 5 in the order of amounts
--             held    digits: which units are held here (those that are limited), 6 is concurrency
--             life    '@ms' ends at that time, '+ms' that long after each touch, '' for ever
-- counter   integers of 64 bits, most significant byte first: the five spent, and, where something was ever held, the
--           five and concurrency held (GETRANGE and BITFIELD_RO read them: `BITFIELD_RO key GET i64 #0`)
-- row       'held\nindex\namounts\nwatermark\nplan', 'expired\nindex\ncharged\n\nplan',
--           'settled\nindex\namounts\n\n', 'released\nindex\n\n\n', or 'denied\n' and the verdict
--
-- Counters are read and added up before the first write, so that a key that is no counter stops a script which has
-- written nothing yet; that write is one that Redis refuses when out of memory (docs/decisions/0077).

local call, format, pack, parts, max, sub = redis.call, string.format, struct.pack, struct.unpack, math.max, string.sub
local EXACT = 9007199254740992  -- 2^53: below it a double is an exact integer; beyond it Redis itself does the sum
local TOUCHED, ENDING = 43, 64  -- the bytes '+' and '@' that a life begins with
local ONE, FIVE, SIX, NOUGHT = '>i8', '>i8i8i8i8i8', '>i8i8i8i8i8i8', string.rep('\0', 40)
local RETENTION_MS = 900000     -- an older id answers STALE
local KEEP_MS = 910000          -- rows outlive the retention by more than ids can run ahead of us
local AHEAD_MS = 5000           -- an id further in the future was not made from this server's time
local JOURNAL_LENGTH = 10000    -- about; older entries are dropped until something archives them

local function now_ms()
  local time = call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function foreign(member, now)
  local age = now - (tonumber(sub(member, 1, 12), 16) or 0)
  if age > RETENTION_MS then return 'forgotten' end
  if age < -AHEAD_MS then return 'future' end
  return nil
end

-- By unit; an unknown one is nil.
local function amounts_of(text)
  local usd, energy, carbon, tokens, requests = string.match(text, '^(%d+) (%d*) (%d*) (%d+) (%d+)$')
  if not usd then error('bad amounts: ' .. text) end
  return {tonumber(usd), tonumber(energy), tonumber(carbon), tonumber(tokens), tonumber(requests), 1}
end

local function negative(amounts)
  local less = {}
  for unit = 1, 6 do less[unit] = -(amounts[unit] or 0) end
  return less
end

local function parse(row)
  return string.match(row, '^(%a+)\n(%d*)\n([^\n]*)\n([^\n]*)\n(.*)$')
end

-- The counters of a plan, as columns; `values` as they stand. only_holding: those of them that hold something.
local function counters_of(prefix, plan, only_holding)
  local keys, spends, holds, lives, n = {}, {}, {}, {}, 0
  for suffix, spent, held, life in string.gmatch(plan, '([^ \n]+) (%d*) (%d*) ([^\n]*)\n') do
    if held ~= '' or not only_holding then
      n = n + 1
      keys[n], spends[n], holds[n], lives[n] = prefix .. 'b:' .. suffix, spent, held, life
    end
  end
  return {keys = keys, spends = spends, holds = holds, lives = lives, values = n > 0 and call('MGET', unpack(keys)) or {}}
end

-- MGET calls a key of a wrong type absent, GET refuses it.
local function standing(counters, i)
  local value = counters.values[i] or call('GET', counters.keys[i]) or NOUGHT
  if #value ~= 40 and #value ~= 88 then error('not a counter: ' .. counters.keys[i]) end
  return value
end

-- What of these amounts a counter takes that counts only those units. Most counters of a plan take the same.
local function taken(amounts, units, known)
  local some = known[units]
  if not some then
    some = {0, 0, 0, 0, 0, 0}
    for i = 1, #units do
      local unit = string.byte(units, i) - 48
      some[unit] = amounts[unit] or 0
    end
    known[units] = some
  end
  return some
end

-- The five spent of one counter with `more`, or nil where a double may not hold a sum.
local function spent_sum(value, more)
  local a, b, c, d, e = parts(FIVE, value)
  local u, v, w, x, y = a + more[1], b + more[2], c + more[3], d + more[4], e + more[5]
  return max(a, b, c, d, e, u, v, w, x, y) < EXACT and pack(FIVE, u, v, w, x, y) or nil
end

-- The six held likewise.
local function held_sum(value, more)
  local a, b, c, d, e, f = 0, 0, 0, 0, 0, 0
  if #value == 88 then a, b, c, d, e, f = parts(SIX, value, 41) end
  local u, v, w, x, y, z = a + more[1], b + more[2], c + more[3], d + more[4], e + more[5], f + more[6]
  return max(a, b, c, d, e, f, u, v, w, x, y, z) < EXACT and pack(SIX, u, v, w, x, y, z) or nil
end

-- Adds up `sums`; for one that is too large, the increments in `large`. spend, hold: by unit, how much more of it;
-- nil: nothing is spent, and counters that hold nothing stay as they are. tails: of sums of which only the held change.
local function add(counters, spend, hold)
  local sums, tails, large, spending, holding = {}, {}, {}, {}, {}
  for i, held in ipairs(counters.holds) do
    if spend or held ~= '' then
      local value, more, kept, head, tail = standing(counters, i)
      if spend then
        more = taken(spend, counters.spends[i], spending)
        head = spent_sum(value, more)
      else
        head = sub(value, 1, 40)
      end
      if held ~= '' then
        kept = taken(hold, held, holding)
        tail = held_sum(value, kept)
        if not spend then tails[i] = tail end
      else
        tail = sub(value, 41)
      end
      if head and tail then sums[i] = head .. tail else large[i] = {more or {}, kept or {}} end
    end
  end
  counters.sums, counters.tails, counters.large = sums, tails, large
end

local function write_large(key, life, spent, held)
  for place = 0, 10 do
    local more = place < 5 and spent[place + 1] or held[place - 4] or 0
    if more ~= 0 then call('BITFIELD', key, 'OVERFLOW', 'FAIL', 'INCRBY', 'i64', '#' .. place, format('%d', more)) end
  end
  if string.byte(life) == TOUCHED then call('PEXPIRE', key, sub(life, 2)) end
end

-- Budgets and tallies are found by their names in 'c'; a session is not, and leaves nothing behind.
local function write(prefix, counters)
  local lasting, n = {}, 0
  for i, key in ipairs(counters.keys) do
    local life, sum, new = counters.lives[i], counters.sums[i], not counters.values[i]
    local how = string.byte(life)
    if not sum then
      if counters.large[i] then write_large(key, life, counters.large[i][1], counters.large[i][2]) end
    elseif how == TOUCHED then
      call('SET', key, sum, 'PX', sub(life, 2))
    elseif how == ENDING and new then
      call('SET', key, sum, 'PXAT', sub(life, 2))
      call('ZADD', prefix .. 'c', sub(life, 2), sub(key, #prefix + 3))
    elseif how == ENDING and counters.tails[i] then
      call('SETRANGE', key, 40, counters.tails[i])
    elseif how == ENDING then
      call('SETRANGE', key, 0, sum)
    else
      lasting[n + 1], lasting[n + 2], n = key, sum, n + 2
      if new then call('ZADD', prefix .. 'c', '+inf', sub(key, #prefix + 3)) end
    end
  end
  if n > 0 then call('MSET', unpack(lasting)) end
end

-- One entry for each end of a hold: what it added to spent of every counter of the plan (see docs/decisions/0011).
local function journal(prefix, op, member, spent, back, plan)
  local entry = {call('INCR', prefix .. 'n'), op, member, spent, back, plan}
  call('XADD', prefix .. 'j', 'MAXLEN', '~', JOURNAL_LENGTH, '*', 'e', table.concat(entry, '\n'))
end

-- Ends a due hold: its watermark is charged. The lease goes last, so that no held row is ever without one.
local function expire(prefix, member)
  local row_key = prefix .. 'r:' .. member
  local row = call('GET', row_key)
  local state, index, amounts, watermark, plan
  if row then state, index, amounts, watermark, plan = parse(row) end
  if state == 'held' then
    local counters = counters_of(prefix, plan)
    add(counters, amounts_of(watermark), negative(amounts_of(amounts)))
    call('SET', row_key, table.concat({'expired', index, watermark, '', plan}, '\n'), 'PX', KEEP_MS)
    write(prefix, counters)
    journal(prefix, 'expire', member, watermark, '', plan)
  end
  call('ZREM', prefix .. 'l', member)
  return state == 'held'
end

local function reap(prefix, now, most)
  local ended = 0
  for _, member in ipairs(call('ZRANGEBYSCORE', prefix .. 'l', '-inf', now, 'LIMIT', 0, most)) do
    if expire(prefix, member) then ended = ended + 1 end
  end
  return ended
end

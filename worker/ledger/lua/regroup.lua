-- regroup: dead letters that an earlier version left without a group get theirs.
--   KEYS[1]  the account's prefix
--   ARGV     caller, operation number, options (JSON: {}), then up to 500 refs
--   returns  {"now", "grouped": how many}
--include _clock
--include _account
--include _drains
--include _once
--include _groups

return once(ARGV[1], ARGV[2], function()
  local grouped = 0
  for i = 4, #ARGV do
    local died = redis.call('ZSCORE', K.dead, ARGV[i])
    if died and redis.call('HEXISTS', record(ARGV[i]), F.group) == 0 then
      joins_group(ARGV[i], died)
      grouped = grouped + 1
    end
  end
  return { now = tonumber(ms(clock())), grouped = grouped }
end)

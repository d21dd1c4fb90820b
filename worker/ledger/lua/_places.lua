-- Projects: may anything of one be begun in this account? Its records and holds lie in one account at a time, and only
-- there is it `here`; which one that is says a register outside of all accounts (see worker/ledger/places.py).
--   projects   hash   project -> 'here'; 'leaving' (it seems that nothing of it is left, and another account asks for
--   it);
--                     'moving' (its records are being carried over, from here or to here); 'moved' (it was here)

-- {unplaced} if one of the projects named is not here, else nil. One that is unknown here counts only for a caller
-- that knows the register (options.placed).
local function not_here()
  local checked, last, unplaced = {}, nil, {}
  for i = 4, #ARGV do
    local project = project_of(ARGV[i])
    if project ~= last and not checked[project] then
      checked[project] = true
      local place = redis.call('HGET', K.projects, project)
      if place ~= 'here' and (place or options.placed) then unplaced[#unplaced + 1] = project end
    end
    last = project
  end
  if #unplaced > 0 then return { unplaced = unplaced } end
end

local place_of
each_call(function() place_of = {} end)

-- Must nothing of it be taken? Its project is being moved ('elsewhere'), or the settings of the process that asks do not
-- give it to this account ('stray').
local function lies_elsewhere(ref, strays)
  local project = project_of(ref)
  if place_of[project] == nil then place_of[project] = redis.call('HGET', K.projects, project) end
  local place = place_of[project]
  if place == 'moving' or place == 'moved' then return 'elsewhere' end
  for _, stray in ipairs(strays or {}) do
    if stray == project then return 'stray' end
  end
end

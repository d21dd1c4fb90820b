-- Redis's clock: milliseconds since 1970, with a fraction. Tests put their own in its place.
local function redis_time()
  local t = redis.call('TIME')
  return t[1] * 1000 + t[2] / 1000
end

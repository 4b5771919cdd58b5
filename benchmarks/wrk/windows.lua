-- Prepared requests, and how many answers of each status came in each twentieth of a second of
-- the monotonic clock: what Python's time.monotonic() reads on Linux.

dofile(debug.getinfo(1, "S").source:match("@(.*/)") .. "prepared.lua")

local ffi = require("ffi")
ffi.cdef([[
  struct timespec { long seconds; long nanoseconds; };
  int clock_gettime(int clock, struct timespec *now);
]])
local MONOTONIC, PER_SECOND = 1, 20
local now = ffi.new("struct timespec")

windows = {}

function response(status)
  ffi.C.clock_gettime(MONOTONIC, now)
  local time = tonumber(now.seconds) + tonumber(now.nanoseconds) / 1e9
  local key = string.format("[%d, %d", math.floor(time * PER_SECOND), status)
  windows[key] = (windows[key] or 0) + 1
end

function windows_of(threads)
  local found = {}
  for _, thread in ipairs(threads) do
    for key, count in pairs(thread:get("windows")) do
      table.insert(found, string.format("%s, %d]", key, count))
    end
  end
  return "[" .. table.concat(found, ", ") .. "]"
end

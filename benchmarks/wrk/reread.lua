-- USERS of each thread read again and again, always the first ones: the warm-up shows their tokens
-- to the server.

dofile(debug.getinfo(1, "S").source:match("@(.*/)") .. "prepared.lua")

local USERS = 1000
local requests, turn = {}, 0

function init(arguments)
  exhausted = false
  length = tonumber(arguments[2])
  file = assert(io.open(arguments[1], "rb"))
  file:seek("set", number * USERS * length)
  for user = 1, USERS do requests[user] = file:read(length) end
end

function request()
  turn = turn % USERS + 1
  return requests[turn]
end

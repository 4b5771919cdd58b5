-- Users who train with an app: each sends the requests of a life in order, with one token.
--
-- USERS of a thread are under way at once. Their next requests wait in a queue; whichever
-- connection is free sends the first of it. An answer puts its user at the end of the queue, so
-- that a user's next request follows its last answer, after a request of each of the others.
--
-- wrk does not tell which connection an answer came on: X-Request-Id, which the answer bears too,
-- names the user. Prepared for each user: the id of the session, then the headers.

dofile(debug.getinfo(1, "S").source:match("@(.*/)") .. "prepared.lua")

local USERS = 1000
local ID_LENGTH = 36
local FAILS_EVERY = 5
local JSON = "Content-Type: application/json\r\n"

local function read(path)
  return function(user)
    return "GET " .. path(user) .. " HTTP/1.1\r\n" .. user.headers .. "\r\n"
  end
end

local function write(method, path, body, conditional)
  local tail = string.format("%sContent-Length: %d\r\n\r\n%s", JSON, #body, body)
  return function(user)
    local condition = conditional and "If-Match: " .. user.tag .. "\r\n" or ""
    return method .. " " .. path(user) .. " HTTP/1.1\r\n" .. user.headers .. condition .. tail
  end
end

local function list() return "/sessions?limit=20" end
local function session(user) return user.path end
local function step(name) return function(user) return user.path .. "/" .. name end end

local PLAN = '{"sessionDate": "2026-11-22T09:00:00Z", "sets": [12, 10, null],'
  .. ' "notes": "knee felt fine"}'
local complete = write("POST", step("complete"), '{"rpe": 8}')
local fail = write("POST", step("fail"), '{"reason": "shoulder pain"}')

-- The app lists the sessions when it is opened and when a training is over. It reads the session
-- again whenever it returns to the foreground: before the start, and after each set.
local LIFE = {
  read(list),
  write("POST", function() return "/sessions" end, PLAN),
  read(session),
  write("POST", step("start"), "{}", true),
  write("PATCH", session, '{"sets": [12, null, null]}', true),
  read(session),
  write("PATCH", session, '{"sets": [12, 11, null]}', true),
  read(session),
  write("PATCH", session, '{"sets": [12, 11, 9], "rpe": 8, "notes": "knee felt well"}', true),
  read(session),
  function(user) return (user.fails and fail or complete)(user) end,
  read(list),
}
local WRITES = { [2] = true, [4] = true, [5] = true, [7] = true, [9] = true, [11] = true }
local FIRST_WITH_SESSION, PLANNING = 5, 2

local users, queue, head, tail = {}, {}, 1, 1
local even, odd, last, latest

written = 0

local function enqueue(user)
  queue[tail], tail = user, tail + 1
end

local function user_of(number, step)
  file:seek("set", number * length)
  local text = file:read(length)
  local user = {
    id = text:match("X%-Request%-Id: (%S+)", ID_LENGTH),
    path = "/sessions/" .. text:sub(1, ID_LENGTH),
    headers = text:sub(ID_LENGTH + 1),
    tag = '"1"',
    step = step,
    fails = math.floor(number / 2) % FAILS_EVERY == 0,
  }
  users[user.id] = user
  enqueue(user)
end

-- Users with an even number have a session in progress, the others have none yet.
local function begin(step)
  local number
  if step >= FIRST_WITH_SESSION then
    number, even = even, even + 2
  else
    number, odd = odd, odd + 2
  end
  if number >= last then
    exhausted = true
    wrk.thread:stop()
    return
  end
  user_of(number, step)
end

-- Before the users train, the server has seen their tokens: all of them list, again and again.
local function greet()
  local place, number_of_users = 0, tail - 1
  function request()
    place = place % number_of_users + 1
    return LIFE[1](queue[place])
  end
  response = nil
end

local prepare = init

-- The first users are spread over the steps of a life. Those who would have a planned session
-- begin two steps earlier, without it; as many of them read and write.
function init(arguments)
  prepare(arguments)
  local first = tonumber(arguments[3]) + number * left
  last = first + left
  even, odd = first + first % 2, first + 1 - first % 2
  for place = 0, USERS - 1 do
    local step = place % #LIFE + 1
    begin((step > PLANNING and step < FIRST_WITH_SESSION) and step - 2 or step)
  end
  if arguments[5] == "greet" then greet() end
end

-- All users may be waiting for an answer only if there are more connections than users; then a
-- newcomer comes. wrk calls it once more than it sends requests, which loses a user.
function request()
  if head == tail then begin(1) end
  local user = queue[head]
  if user then
    queue[head], head = nil, head + 1
    latest = LIFE[user.step](user)
  end
  return latest
end

-- wrk gives the names of headers as the server writes them: servers in Python in small letters, Node
-- as the program writes them, Go with one capital for each word.
local function value_of(headers, ...)
  for _, name in ipairs({ ... }) do
    if headers[name] then return headers[name] end
  end
end

-- A life ends after its last step, or by an answer that is no success.
function response(status, headers)
  local id = value_of(headers, "x-request-id", "X-Request-Id")
  local user = users[id]
  if status < 300 and WRITES[user.step] then written = written + 1 end
  if status >= 300 or user.step == #LIFE then
    users[id] = nil
    begin(1)
    return
  end
  user.tag = value_of(headers, "etag", "ETag", "Etag") or user.tag
  user.path = value_of(headers, "location", "Location") or user.path
  user.step = user.step + 1
  enqueue(user)
end

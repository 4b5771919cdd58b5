-- Plans sessions by prepared requests, then starts and fails each by the id that was answered.
--
-- wrk does not tell which connection an answer came on. Each request has an X-Request-Id, which
-- the answer bears too: that names the life. Whichever connection is free takes its next step.

dofile(debug.getinfo(1, "S").source:match("@(.*/)") .. "prepared.lua")

local plan = request
local FAIL_BODY = '{"reason": "shoulder pain"}'

local lives, ready, head, tail = {}, {}, 1, 1

local function step(life)
  local body = life.step == "fail" and FAIL_BODY or ""
  return string.format("POST %s/%s HTTP/1.1\r\n%sContent-Length: %d\r\n\r\n%s",
    life.path, life.step, life.headers, #body, body)
end

function request()
  local life = ready[head]
  if life then
    ready[head], head = nil, head + 1
    return step(life)
  end
  local text = plan()
  local headers = text:match("\r\n(.*\r\n)Content%-Length")
  lives[headers:match("X%-Request%-Id: (%S+)")] = { step = "plan", headers = headers }
  return text
end

-- A life ends when it has failed, or by an answer that is no success.
function response(status, headers)
  local id = headers["x-request-id"] or headers["X-Request-Id"]
  local life = lives[id]
  if status >= 300 or life.step == "fail" then
    lives[id] = nil
    return
  end
  life.step = life.step == "plan" and "start" or "fail"
  life.path = life.path or headers["location"] or headers["Location"]
  ready[tail], tail = life, tail + 1
end

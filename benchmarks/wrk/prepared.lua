-- Sends prepared requests, each once: file, length of a request, first, requests per thread.

local threads = {}

function setup(thread)
  thread:set("number", #threads)
  table.insert(threads, thread)
end

function init(arguments)
  local path, first = arguments[1], tonumber(arguments[3])
  length, left = tonumber(arguments[2]), tonumber(arguments[4])
  exhausted = false
  file = assert(io.open(path, "rb"))
  file:seek("set", (first + number * left) * length)
end

-- wrk calls it once more than it sends requests, to see what they look like.
function request()
  if left == 0 then
    exhausted = true
    wrk.thread:stop()
    return last
  end
  left = left - 1
  last = file:read(length)
  return last
end

-- Changes that answers confirmed; only the loads that also read count them.
written = -1

-- Overridden by what has more to tell: when answers came.
function windows_of(_threads)
  return "[]"
end

function done(summary, latency, requests)
  local exhausted, written = false, 0
  for _, thread in ipairs(threads) do
    exhausted = exhausted or thread:get("exhausted")
    written = written + thread:get("written")
  end
  local errors = summary.errors
  io.stderr:write(string.format(
    '{"seconds": %f, "answers": %d, "refusals": %d, "socket_errors": %d, "timeouts": %d,'
      .. ' "p50": %f, "p90": %f, "p99": %f, "p999": %f, "max": %f, "exhausted": %s,'
      .. ' "written": %d, "windows": %s}\n',
    summary.duration / 1e6, summary.requests, errors.status,
    errors.connect + errors.read + errors.write, errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(90) / 1e3, latency:percentile(99) / 1e3,
    latency:percentile(99.9) / 1e3, latency.max / 1e3, tostring(exhausted), written, windows_of(threads)))
end

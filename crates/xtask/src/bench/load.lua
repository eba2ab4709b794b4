-- Requests for wrk, told by the environment what to ask for. Prints one line: RESULT requests micros errors p50 p99 (µs).
local kind = os.getenv("BENCH_KIND")
local token = os.getenv("BENCH_TOKEN")
local ids = {}
for id in string.gmatch(os.getenv("BENCH_WORKSPACES"), "%S+") do ids[#ids + 1] = id end
local headers = { ["Authorization"] = "Bearer " .. token, ["Content-Type"] = "application/json" }
local n = tonumber(os.getenv("BENCH_SEED"))

function request()
  n = n + 1
  local id = ids[n % #ids + 1]
  if kind == "read" then
    return wrk.format("GET", "/workspaces/" .. id, headers)
  end
  -- Another key each time: an identical refusal would be answered from memory, an equal value would restart nothing.
  local key = kind == "write" and "KEY_" .. (n % 200) or "KEY_" .. n
  local body = string.format('{"key":"%s","value":"value-%d"}', key, n)
  return wrk.format("POST", "/workspaces/" .. id .. "/secrets", headers, body)
end

local wanted = tonumber(os.getenv("BENCH_STATUS"))
local threads = {}
function setup(thread) threads[#threads + 1] = thread end
function init() wrong = 0 end
function response(status) if status ~= wanted then wrong = wrong + 1 end end

function done(summary, latency)
  local e = summary.errors
  local errors = e.connect + e.read + e.write + e.timeout
  for _, thread in ipairs(threads) do errors = errors + thread:get("wrong") end
  io.write(string.format("RESULT %d %d %d %d %d\n", summary.requests, summary.duration, errors,
    latency:percentile(50), latency:percentile(99)))
end

-- Requests for wrk, told by the environment what to ask for. Prints one line: RESULT requests micros errors p50 p99 (µs).
local kind = os.getenv("BENCH_KIND")
local token = os.getenv("BENCH_TOKEN")
local ids = {}
for id in string.gmatch(os.getenv("BENCH_WORKSPACES"), "%S+") do ids[#ids + 1] = id end
local headers = { ["Authorization"] = "Bearer " .. token, ["Content-Type"] = "application/json" }
local vault = { ["X-Vault-Token"] = token, ["Content-Type"] = "application/json" }
local filling = string.rep("v", 990)
local n = tonumber(os.getenv("BENCH_SEED"))

-- The same over MCP, in the stateless revision.
local meta = '{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"wrk",' ..
  '"version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}'
local frame = '{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"%s","arguments":%s,"_meta":%s}}'

function tool(name, arguments)
  local more = { ["MCP-Protocol-Version"] = "2026-07-28", ["Mcp-Method"] = "tools/call", ["Mcp-Name"] = name,
    ["Accept"] = "application/json, text/event-stream" }
  for header, value in pairs(headers) do more[header] = value end
  return wrk.format("POST", "/mcp", more, string.format(frame, n, name, arguments, meta))
end

function request()
  n = n + 1
  local id = ids[n % #ids + 1]
  if kind == "read" then
    return wrk.format("GET", "/workspaces/" .. id, headers)
  end
  if kind == "tool read" then
    return tool("get_workspace", string.format('{"workspace_id":"%s"}', id))
  end
  if kind == "tool write" then
    local arguments = '{"workspace_id":"%s","key":"KEY_%d","value":"value-%d"}'
    return tool("set_workspace_secret", string.format(arguments, id, n % 200, n))
  end
  -- The shapes of vault-benchmark: 100 keys, 1,000 bytes.
  local of_kv = string.match(kind, "^kv (%a+)") or string.match(kind, "^vault (%a+)")
  if of_kv then
    local key = "KEY_" .. (n % 100)
    local write = of_kv == "write" or (of_kv == "mixed" and math.floor(n / 100) % 2 == 0)
    if string.sub(kind, 1, 5) == "vault" then
      local path = "/v1/secret/" .. key
      if not write then return wrk.format("GET", path, vault) end
      return wrk.format("POST", path, vault, '{"value":"' .. filling .. n .. '"}')
    end
    -- A value is read by nobody: the nearest is what there is to know about one key.
    if not write then return wrk.format("GET", "/workspaces/" .. ids[1] .. "/secrets/" .. key .. "/versions?limit=1", headers) end
    return wrk.format("POST", "/workspaces/" .. ids[1] .. "/secrets", headers, '{"key":"' .. key .. '","value":"' .. filling .. n .. '"}')
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
function response(status, _, body)
  -- A tool that is refused is answered with 200 too.
  local refused = string.sub(kind, 1, 4) == "tool" and not string.find(body, '"isError":false', 1, true)
  local other = wanted < 10 and math.floor(status / 100) ~= wanted or wanted >= 10 and status ~= wanted
  if other or refused then wrong = wrong + 1 end
end

function done(summary, latency)
  local e = summary.errors
  local errors = e.connect + e.read + e.write + e.timeout
  for _, thread in ipairs(threads) do errors = errors + thread:get("wrong") end
  io.write(string.format("RESULT %d %d %d %d %d\n", summary.requests, summary.duration, errors,
    latency:percentile(50), latency:percentile(99)))
end

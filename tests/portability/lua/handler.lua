local json = require("cjson")
local time = require("posix.time")

local M = {}

local function sleep(ms) time.nanosleep({ tv_sec = 0, tv_nsec = ms * 1000000 }) end

local function words()
  for _, word in ipairs({ "one\n", "two\n", "three\n" }) do
    coroutine.yield(word)
    sleep(300)
  end
end

function M.handle(event, context)
  local path, query, headers = event.path, event.query, event.headers
  if path:find("^/inspect") then
    local seen = { method = event.method, path = path, query = next(query) and query or nil }
    seen.two, seen.cookie = headers["x-two"] or "", headers.cookie or ""
    return { body = seen }
  elseif path == "/echo" then
    return { headers = { ["Content-Type"] = headers["content-type"] or "none" }, body = event.body }
  elseif path == "/status" then
    return { statusCode = query.code, body = "status " .. query.code }
  elseif path == "/answer" then
    local headers = { [query.name or "X-Value"] = query.value or json.null }
    return { headers = headers, body = "b", statusCode = tonumber(query.status) }
  elseif path == "/redirect" then
    return { statusCode = 302, headers = { Location = "/elsewhere" } }
  elseif path == "/cookies" then
    return { headers = { ["Set-Cookie"] = { "a=1; Path=/", "b=2" } }, body = "set" }
  elseif path == "/json" then
    return { tax = 4.7, of = { "grüß", json.null, true } }
  elseif path == "/text" then
    return "grüß"
  elseif path == "/stream" then
    return { body = coroutine.create(words) }
  elseif path == "/error" then
    error("no subtotal", 0)
  elseif path == "/slow" then
    sleep(500)
    return "slow"
  elseif path == "/environment" then
    return os.getenv("PROBE") or "none"
  elseif path == "/secret" then
    local file = assert(io.open((os.getenv("FAAS_SECRETS_DIR") or "/var/openfaas/secrets") .. "/portability-key"))
    return file:read("a")
  end
  return { statusCode = 404, body = "no such path" }
end

return M

local json = require("cjson")
local time = require("posix.time")

local M = {}

function M.handle(req)
  if req == "/json" then
    return { tax = 4.7, of = { "grüß", json.null, true } }
  elseif req == "/text" then
    io.write("grüß")
  elseif req == "/error" then
    error("no subtotal")
  elseif req == "/slow" then
    time.nanosleep({ tv_sec = 0, tv_nsec = 500000000 })
    return "slow"
  elseif req == "/environment" then
    return os.getenv("PROBE") or "none"
  elseif req == "/secret" then
    local file = assert(io.open((os.getenv("FAAS_SECRETS_DIR") or "/var/openfaas/secrets") .. "/portability-key"))
    return file:read("a")
  else
    return req
  end
end

return M

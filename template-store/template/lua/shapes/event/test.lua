-- Run by `faas test`.
local handler = require("handler")

local answer = handler.handle({ method = "POST", path = "/a", query = {}, headers = {}, body = "hello" }, {})
assert(answer.statusCode == 200 and answer.body.you_sent == "hello", "it does not answer what it is sent")
print("ok: it answers what it is sent")

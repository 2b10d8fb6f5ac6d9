-- Run by `faas test`.
local handler = require("handler")

assert(handler.answer("hello") == "hello", "it does not answer what it is sent")
print("ok: it answers what it is sent")

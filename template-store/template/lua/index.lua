-- The HTTP server around handler.lua: lua's shim between the invoker and the user's function. One process a connection;
-- the invoker keeps as many connections as it has requests in flight.
local here = (arg[0] or ""):match("^(.*)/[^/]*$") or "."
local deps = here .. "/.deps"
package.path = here .. "/function/?.lua;" .. here .. "/function/?/init.lua;" .. deps .. "/share/lua/5.3/?.lua;"
  .. deps .. "/share/lua/5.3/?/init.lua;" .. here .. "/?.lua;" .. package.path
package.cpath = deps .. "/lib/lua/5.3/?.so;" .. package.cpath

local json = require("cjson.safe")
local errno = require("posix.errno")
local poll = require("posix.poll")
local posix = require("posix.unistd")
local signal = require("posix.signal")
local socket = require("posix.sys.socket")
local stdlib = require("posix.stdlib")
local wait = require("posix.sys.wait")

local TEXT, BYTES, JSON = "text/plain; charset=utf-8", "application/octet-stream", "application/json"
local MAX_HEAD = 1024 * 1024
local REASONS = {
  [200] = "OK", [201] = "Created", [202] = "Accepted", [204] = "No Content", [301] = "Moved Permanently", [302] = "Found",
  [303] = "See Other", [304] = "Not Modified", [307] = "Temporary Redirect", [308] = "Permanent Redirect",
  [400] = "Bad Request", [401] = "Unauthorized", [403] = "Forbidden", [404] = "Not Found", [405] = "Method Not Allowed",
  [409] = "Conflict", [422] = "Unprocessable Content", [429] = "Too Many Requests",
  [431] = "Request Header Fields Too Large", [500] = "Internal Server Error", [501] = "Not Implemented",
  [502] = "Bad Gateway", [503] = "Service Unavailable", [505] = "HTTP Version Not Supported",
}
local OURS = { ["content-length"] = true, ["transfer-encoding"] = true, ["connection"] = true }

-- Errors of the protocol: a status to answer, or `gone` when there is nobody to tell.
local function refuse(status) error({ status = status }, 0) end
local function gone() error({ gone = true }, 0) end

-- ---- one connection ----

local Connection = {}
Connection.__index = Connection

function Connection:fill()
  while true do
    local bytes, _, code = socket.recv(self.fd, 256 * 1024)
    if bytes and bytes ~= "" then
      self.buffer = self.buffer .. bytes
      return
    end
    if bytes == "" or code ~= errno.EINTR then gone() end
  end
end

function Connection:line(most)
  while true do
    local at = self.buffer:find("\n", 1, true)
    if at then
      local line = self.buffer:sub(1, at - 1):gsub("\r$", "")
      self.buffer = self.buffer:sub(at + 1)
      return line
    end
    if #self.buffer > (most or MAX_HEAD) then refuse(431) end
    self:fill()
  end
end

-- Read in pieces that are joined once: a body of megabytes is not copied for each.
function Connection:exactly(size)
  local parts, have = { self.buffer }, #self.buffer
  while have < size do
    self.buffer = ""
    self:fill()
    parts[#parts + 1], have = self.buffer, have + #self.buffer
  end
  local whole = table.concat(parts)
  self.buffer = whole:sub(size + 1)
  return whole:sub(1, size)
end

function Connection:send(bytes)
  local at = 1
  while at <= #bytes do
    local n, _, code = socket.send(self.fd, at == 1 and bytes or bytes:sub(at))
    if n then
      at = at + n
    elseif code ~= errno.EINTR then
      gone()
    end
  end
end

-- Whether another request comes; none does once this function is told to end.
function Connection:more()
  if self.buffer ~= "" then return true end
  local fds = { [self.fd] = { events = { IN = true } }, [self.running] = { events = { IN = true } } }
  while true do
    local n = poll.poll(fds, -1)
    if n and n > 0 then
      local ready = fds[self.fd].revents
      return ready.IN or ready.HUP or false
    end
  end
end

local function ended(fd) return (poll.rpoll(fd, 0) or 0) > 0 end

-- ---- requests ----

local Event = { __tostring = function(event) return event.body end }
Event.__index = Event

-- The body as JSON.
function Event:json()
  local value, why = json.decode(self.body)
  if why then error("the body is no JSON: " .. why, 0) end
  return value
end

local function unescape(text, form)
  if form then text = text:gsub("+", " ") end
  return (text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

function Connection:body(headers)
  local coding, length = headers["transfer-encoding"], headers["content-length"]
  if not coding and not length then return "" end
  if coding and (length or coding:lower() ~= "chunked") then refuse(length and 400 or 501) end
  if length and not length:match("^%d+$") then refuse(400) end
  if (headers.expect or ""):lower() == "100-continue" then self:send("HTTP/1.1 100 Continue\r\n\r\n") end
  if length then return self:exactly(tonumber(length)) end
  local parts = {}
  while true do
    local digits = self:line():gsub(";.*", ""):match("^(%x+)%s*$") or refuse(400)
    local size = tonumber(digits, 16)
    if size == 0 then break end
    parts[#parts + 1] = self:exactly(size)
    if self:line(2) ~= "" then refuse(400) end
  end
  repeat until self:line() == "" -- trailers
  return table.concat(parts)
end

function Connection:request()
  local line = self:line()
  local method, target, version = line:match("^(%S+) (%S+) (HTTP/%S+)$")
  if not method then refuse(400) end
  if version ~= "HTTP/1.1" and version ~= "HTTP/1.0" then refuse(505) end
  local headers, size = {}, #line
  while true do
    line = self:line()
    if line == "" then break end
    size = size + #line
    if size > MAX_HEAD then refuse(431) end
    local name, value = line:match("^([^%s:]+):%s*(.-)%s*$")
    if not name then refuse(400) end
    name = name:lower()
    local have = headers[name]
    headers[name] = have and have .. (name == "cookie" and "; " or ", ") .. value or value
  end
  local path, query = target:match("^([^?]*)%??(.*)$")
  local fields = {}
  for pair in query:gmatch("[^&]+") do
    local key, value = pair:match("^([^=]*)=?(.*)$")
    fields[unescape(key, true)] = unescape(value, true)
  end
  local event = { method = method, path = unescape(path), query = fields, headers = headers, body = self:body(headers) }
  return setmetatable(event, Event), version
end

-- ---- answers ----

local function encode(body)
  local kind = type(body)
  if body == nil then return "", TEXT end
  if kind == "string" then return body, utf8.len(body) and TEXT or BYTES end
  if kind == "function" or kind == "thread" then return body, TEXT end
  if getmetatable(body) == Event then return body.body, TEXT end
  local text, why = json.encode(body)
  if not text then error("the answer is no JSON: " .. why, 0) end
  return text, JSON
end

-- The status of an answer. Refuses what is none, or only says that the answer is to come.
local function final(status)
  if status == nil or status == json.null then return 200 end
  local number = math.tointeger(tonumber(status))
  if number and number >= 200 and number <= 999 then return number end
  error(("the status %s is none that an answer can have: 200 to 999 are"):format(status), 0)
end

-- Name and value of a header field. Refuses what would end the head, or be another field.
local function field(name, value)
  if not name:find("^[%w!#$%%&'*+.^_`|~-]+$") then
    error(('"%s" can\'t be the name of a header field'):format(name:gsub("%c", "?")), 0)
  end
  if value:find("[%z\1-\8\10-\31\127]") then
    error(("the header field %s holds a line end or another control character"):format(name), 0)
  end
  return { name, value }
end

-- Status, header fields and body of what the handler returned.
local function reply(result)
  local status, fields, has_type = 200, {}, false
  if type(result) == "table" and (result.statusCode or result.body) then
    status = final(result.statusCode)
    for name, values in pairs(result.headers or {}) do
      for _, value in ipairs(type(values) == "table" and values or { values }) do
        if value ~= json.null then
          fields[#fields + 1] = field(tostring(name), tostring(value))
          has_type = has_type or tostring(name):lower() == "content-type"
        end
      end
    end
    result = result.body
  end
  local body, kind = encode(result)
  if not has_type then fields[#fields + 1] = { "Content-Type", kind } end
  return status, fields, body
end

-- Sends an answer; whether the connection can take another request.
function Connection:answer(status, fields, body, keep, method, version)
  local streamed = type(body) ~= "string"
  local bare = status == 204 or status == 304 or status < 200
  local chunked = streamed and not bare and version == "HTTP/1.1"
  keep = keep and (chunked or not streamed)
  local top = { ("HTTP/1.1 %d %s"):format(status, REASONS[status] or "Unknown") }
  for _, field in ipairs(fields) do
    if not OURS[field[1]:lower()] then top[#top + 1] = field[1] .. ": " .. field[2] end -- those are the server's
  end
  if chunked then top[#top + 1] = "Transfer-Encoding: chunked" end
  if not streamed and not bare then top[#top + 1] = "Content-Length: " .. #body end
  if not keep then top[#top + 1] = "Connection: close" end
  top[#top + 1], top[#top + 2] = "", ""
  local silent = bare or method == "HEAD"
  local head = table.concat(top, "\r\n")
  self:send((streamed or silent) and head or head .. body)
  if not streamed or silent then return keep end
  local step = body
  if type(body) == "thread" then
    step = function()
      local ok, chunk = coroutine.resume(body)
      if not ok then error(chunk, 0) end
      return chunk
    end
  end
  for chunk in step do
    if chunk ~= "" then self:send(chunked and ("%x\r\n%s\r\n"):format(#chunk, chunk) or chunk) end
  end
  if chunked then self:send("0\r\n\r\n") end
  return keep
end

function Connection:serve(call)
  while self:more() do
    local ok, event, version = pcall(self.request, self)
    if not ok then
      local why = event
      if type(why) == "table" and why.status then self:answer(why.status, {}, "", false, "GET", "HTTP/1.1") end
      if type(why) ~= "table" then io.stderr:write(tostring(why), "\n") end
      return
    end
    local tokens = (event.headers.connection or ""):lower()
    local keep = not tokens:find("close", 1, true) and (version == "HTTP/1.1" or tokens:find("keep-alive", 1, true))
    local done, status, fields, body = xpcall(call, function(why)
      local said = type(why) == "table" and json.encode(why) or tostring(why)
      local trace = said:find("\nstack traceback:", 1, true)
      io.stderr:write(trace and said or debug.traceback(said, 2), "\n")
      return (said:sub(1, trace and trace - 1):gsub("^[^%s:]+:%d+: ", ""))
    end, event)
    if not done then status, fields, body = 500, { { "Content-Type", TEXT } }, status .. "\n" end
    if not self:answer(status, fields, body, keep and not ended(self.running), event.method, version) then return end
  end
end

-- ---- the function ----

-- Calls handle(req); what it prints comes before what it returns.
local function plain(handle)
  return function(event)
    local printed, print_, write_ = {}, print, io.write
    local output = io.output()
    function _G.print(...)
      local words = table.pack(...)
      for i = 1, words.n do words[i] = tostring(words[i]) end
      printed[#printed + 1] = table.concat(words, "\t") .. "\n"
    end
    function io.write(...)
      for _, word in ipairs({ ... }) do printed[#printed + 1] = tostring(word) end
      return output
    end
    local ok, result = xpcall(handle, debug.traceback, event.body)
    _G.print, io.write = print_, write_
    if not ok then error(result, 0) end
    local body, kind = encode(result)
    if #printed > 0 and type(body) == "string" then body, kind = table.concat(printed) .. body, TEXT end
    return 200, { { "Content-Type", kind } }, body
  end
end

local function load_handler()
  local found, handler = xpcall(require, debug.traceback, "handler")
  if not found then
    io.stderr:write(handler, "\n")
    local missing = handler:match("module '([^']+)' not found")
    if missing and missing ~= "handler" then
      io.stderr:write("the module `", missing, "` is not installed: add the rock that has it to rocks.txt\n")
    end
    os.exit(1)
  end
  if type(handler) == "function" then handler = { handle = handler } end
  if type(handler) ~= "table" or not (handler.handle or handler.main) then
    io.stderr:write("function/handler.lua returns neither a function, nor a table with handle or main\n")
    os.exit(1)
  end
  if not handler.handle then return nil, handler.main end
  if debug.getinfo(handler.handle, "u").nparams < 2 then return plain(handler.handle) end
  local context = { function_name = os.getenv("OPENFAAS_NAME") or "", hostname = os.getenv("HOSTNAME") or "" }
  return function(event) return reply(handler.handle(event, context)) end
end

local function serve(call, port)
  local listener = assert(socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0))
  socket.setsockopt(listener, socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
  assert(socket.bind(listener, { family = socket.AF_INET, addr = "127.0.0.1", port = port }))
  assert(socket.listen(listener, 1024))
  -- Its writing end is open as long as this process takes requests; the others see its end.
  local running, open = posix.pipe()
  local stopping = false
  local function stop() stopping = true end
  signal.signal(signal.SIGTERM, stop)
  signal.signal(signal.SIGINT, stop)
  signal.signal(signal.SIGPIPE, signal.SIG_IGN)
  local function reap()
    repeat
      local pid = wait.wait(-1, wait.WNOHANG)
    until not pid or pid == 0
  end
  while not stopping do
    reap()
    if (poll.rpoll(listener, 1000) or 0) > 0 then
      local fd = socket.accept(listener)
      local pid = fd and posix.fork()
      if pid == 0 then
        posix.close(listener)
        posix.close(open)
        -- Ended by the pipe, once its request is answered.
        signal.signal(signal.SIGTERM, function() end)
        signal.signal(signal.SIGINT, function() end)
        socket.setsockopt(fd, socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        local connection = setmetatable({ fd = fd, running = running, buffer = "" }, Connection)
        local ok, why = pcall(connection.serve, connection, call)
        if not ok and type(why) ~= "table" then io.stderr:write(tostring(why), "\n") end
        io.stdout:flush()
        posix._exit(0)
      end
      if fd then posix.close(fd) end
    end
  end
  posix.close(listener)
  posix.close(open)
  repeat
    local pid, _, code = wait.wait(-1)
  until not pid and code ~= errno.EINTR
end

io.stdout:setvbuf("line")
local port = os.getenv("PORT") or "5000"
stdlib.setenv("PORT", port)
local call, main = load_handler()
if main then
  main()
else
  serve(call, tonumber(port))
end

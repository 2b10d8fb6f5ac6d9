local http = require("posix.sys.socket")
local unistd = require("posix.unistd")

local M = {}

-- What a request is answered with.
function M.answer(body)
  return body
end

-- Your own web server: it listens on 127.0.0.1, port $PORT. This one reads one request a connection.
function M.main()
  local listener = assert(http.socket(http.AF_INET, http.SOCK_STREAM, 0))
  http.setsockopt(listener, http.SOL_SOCKET, http.SO_REUSEADDR, 1)
  assert(http.bind(listener, { family = http.AF_INET, addr = "127.0.0.1", port = tonumber(os.getenv("PORT")) }))
  assert(http.listen(listener, 128))
  while true do
    local client = http.accept(listener)
    local request = ""
    repeat
      local part = http.recv(client, 65536)
      request = request .. (part or "")
      local head, body = request:match("^(.-\r\n\r\n)(.*)$")
      local length = tonumber(head and head:lower():match("content%-length: *(%d+)") or 0)
      local whole = head and #body >= length
      if whole then
        local text = M.answer(body:sub(1, length))
        http.send(client, ("HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"):format(#text, text))
      end
    until whole or not part or part == ""
    unistd.close(client)
  end
end

return M

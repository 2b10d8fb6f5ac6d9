local M = {}

-- Answers a request. event: body, headers (by lower-case name), method, path, query, and json(); context: function_name,
-- hostname. What is returned is the answer: statusCode, headers and body, or a body alone.
function M.handle(event, context)
  return { statusCode = 200, headers = { ["X-Path"] = event.path }, body = { you_sent = event.body } }
end

return M

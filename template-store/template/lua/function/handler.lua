local M = {}

-- Answers a request. req: the body, as text. What is returned (text, or a table, which is sent as JSON) or printed is
-- the answer.
function M.handle(req)
  return req
end

return M

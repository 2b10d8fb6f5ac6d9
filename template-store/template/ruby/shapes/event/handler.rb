# frozen_string_literal: true

# Answers a request. event: body (bytes), text, json, headers, http_method, query, path. context: function_name, hostname.
def handle(event:, context:)
  name = event.query.fetch('name', 'you')
  { statusCode: 200, body: { hello: name, you_sent: event.text } }
end

# frozen_string_literal: true

require 'json'

# A handler of AWS Lambda, as it is, on every platform. event: that of a function URL (payload 2.0); the fields of a JSON
# body are in it too.
def lambda_handler(event:, context:)
  name = event.fetch('name', 'you')
  { statusCode: 200, body: JSON.generate(hello: name) }
end

# frozen_string_literal: true

require 'uri'

TEXT = { 'Content-Type' => 'text/plain; charset=utf-8' }.freeze

def lambda_handler(event:, context:)
  path = URI::DEFAULT_PARSER.unescape(event['rawPath']).force_encoding('UTF-8')
  query = event['queryStringParameters'] || {}
  headers = event['headers']
  case path
  when '/echo'
    { statusCode: 200, headers: { 'Content-Type' => headers.fetch('content-type', 'none') },
      body: event['body'], isBase64Encoded: event['isBase64Encoded'] }
  when %r{\A/inspect}
    { method: event.dig('requestContext', 'http', 'method'), path: path, query: query,
      two: headers['x-two'].to_s, cookie: (event['cookies'] || []).join('; ') }
  when '/status' then { statusCode: query['code'].to_i, headers: TEXT, body: "status #{query['code']}" }
  when '/redirect' then { statusCode: 302, headers: { Location: '/elsewhere' } }
  when '/cookies' then { statusCode: 200, cookies: ['a=1; Path=/', 'b=2'], body: 'set' }
  when '/json' then { tax: 4.7, of: ['grüß', nil, true] }
  when '/text' then { statusCode: 200, headers: TEXT, body: ['grüß'].pack('m0'), isBase64Encoded: true }
  when '/error' then raise ArgumentError, 'no subtotal'
  when '/slow'
    sleep 0.5
    { statusCode: context.get_remaining_time_in_millis.positive? ? 200 : 500, body: 'slow' }
  when '/environment' then { statusCode: 200, body: ENV.fetch('PROBE', 'none') }
  when '/secret'
    { statusCode: 200, body: File.read("#{ENV.fetch('FAAS_SECRETS_DIR', '/var/openfaas/secrets')}/portability-key") }
  else { statusCode: 404, body: 'no such path' }
  end
end

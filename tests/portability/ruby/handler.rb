# frozen_string_literal: true

def handle(event:, context:)
  case event.path
  when '/echo'
    { headers: { 'Content-Type' => event.headers.fetch('content-type', 'none') }, body: event.body }
  when %r{\A/inspect}
    seen = { method: event.http_method, path: event.path, query: event.query,
             two: event.headers['x-two'].to_s, cookie: event.headers['cookie'].to_s }
    { statusCode: 200, body: seen }
  when '/status' then { statusCode: event.query['code'].to_i, body: "status #{event.query['code']}" }
  when '/answer'
    answer = { headers: { event.query.fetch('name', 'X-Value') => event.query['value'] }, body: 'b' }
    event.query.key?('status') ? answer.merge(statusCode: event.query['status'].to_i) : answer
  when '/redirect' then { statusCode: 302, headers: { Location: '/elsewhere' } }
  when '/cookies' then { headers: { 'Set-Cookie' => ['a=1; Path=/', 'b=2'] }, body: 'set' }
  when '/json' then { tax: 4.7, of: ['grüß', nil, true] }
  when '/text' then 'grüß'
  when '/stream' then { body: stream }
  when '/error' then raise ArgumentError, 'no subtotal'
  when '/slow'
    sleep 0.5
    'slow'
  when '/environment' then ENV.fetch('PROBE', 'none')
  when '/secret' then File.read("#{ENV.fetch('FAAS_SECRETS_DIR', '/var/openfaas/secrets')}/portability-key")
  else { statusCode: 404, body: 'no such path' }
  end
end

def stream
  Enumerator.new do |out|
    ["one\n", "two\n", "three\n"].each do |word|
      out << word
      sleep 0.3
    end
  end
end

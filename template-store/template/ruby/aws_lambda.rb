# frozen_string_literal: true

# Handlers of AWS Lambda, handler(event:, context:), called as Lambda does; loaded when the function has one.
module Faas
  # Between requests and such handlers.
  module Lambda
    # What Lambda gives a handler besides the event.
    class Context
      attr_reader :function_name, :function_version, :invoked_function_arn, :memory_limit_in_mb, :aws_request_id,
                  :log_group_name, :log_stream_name, :deadline_ms

      def initialize(headers)
        @function_name = ENV['AWS_LAMBDA_FUNCTION_NAME'] || ENV['OPENFAAS_NAME'] || ENV['K_SERVICE'] || Socket.gethostname
        @function_version = '$LATEST'
        @invoked_function_arn = "arn:aws:lambda:#{ENV.fetch('AWS_REGION', 'local')}:000000000000:function:#{@function_name}"
        @memory_limit_in_mb = ENV.fetch('AWS_LAMBDA_FUNCTION_MEMORY_SIZE', '128')
        @aws_request_id = headers['x-call-id'].to_s
        @log_group_name = ENV.fetch('AWS_LAMBDA_LOG_GROUP_NAME', "/aws/lambda/#{@function_name}")
        @log_stream_name = ENV['AWS_LAMBDA_LOG_STREAM_NAME'] || Socket.gethostname
        # What Lambda gave, or of what the invoker says of the function's time, in seconds.
        given = headers['lambda-runtime-deadline-ms']
        @deadline_ms = given ? given.to_i : ((Time.now.to_f + ENV.fetch('AWS_LAMBDA_FUNCTION_TIMEOUT', '30').to_f) * 1000).to_i
      end

      def get_remaining_time_in_millis = [@deadline_ms - (Time.now.to_f * 1000).to_i, 0].max
    end

    def self.call(handler, event)
      context = Context.new(event.headers)
      return answer(handler.call(event: event(event, context.function_name), context: context)) unless event.headers['x-faas-event'] == 'raw'

      # No HTTP call: the event and the answer are JSON, as they are.
      result = handler.call(event: JSON.parse(event.body.empty? ? '{}' : event.body), context: context)
      [200, [['Content-Type', JSON_TYPE]], JSON.generate(result)]
    end

    # A request as Lambda's function URLs and HTTP APIs hand it over (payload 2.0), and beside that, where the body is an
    # object of JSON, its fields: so a handler of either kind finds what it looks for.
    def self.event(event, name)
      text = event.text
      encoded = !text.valid_encoding?
      fields = !encoded && text.lstrip.start_with?('{') ? parsed(text) : {}
      path, query = event.target.split('?', 2)
      headers = event.headers.except('cookie', 'lambda-runtime-deadline-ms')
      given = headers['x-amzn-request-context']
      fields.merge!(
        'version' => '2.0', 'routeKey' => '$default', 'rawPath' => path, 'rawQueryString' => query.to_s, 'headers' => headers,
        'requestContext' => given ? JSON.parse(given) : request_context(event, name),
        'body' => encoded ? [event.body].pack('m0') : text, 'isBase64Encoded' => encoded
      )
      fields['cookies'] = event.headers['cookie'].split('; ') if event.headers['cookie']
      unless query.to_s.empty?
        pairs = URI.decode_www_form(query).group_by(&:first)
        fields['queryStringParameters'] = pairs.transform_values { |all| all.map(&:last).join(',') }
      end
      fields
    end

    def self.parsed(text)
      JSON.parse(text)
    rescue JSON::ParserError
      {}
    end

    # What a function URL would tell of the request.
    def self.request_context(event, name)
      headers = event.headers
      now = Time.now.utc
      domain = bare(headers['x-forwarded-host'] || headers['host'] || 'localhost')
      {
        'accountId' => '000000000000', 'apiId' => name, 'domainName' => domain, 'domainPrefix' => domain.split('.').first,
        'http' => {
          'method' => event.http_method, 'path' => event.path, 'protocol' => 'HTTP/1.1',
          'sourceIp' => bare(headers.fetch('x-forwarded-for', '127.0.0.1')), 'userAgent' => headers['user-agent'].to_s
        },
        'requestId' => headers['x-call-id'].to_s, 'routeKey' => '$default', 'stage' => '$default',
        'time' => now.strftime('%d/%b/%Y:%H:%M:%S +0000'), 'timeEpoch' => (now.to_f * 1000).to_i
      }
    end

    # A name or an address without its port, the first of a list.
    def self.bare(hosts)
      host = hosts.split(',').first.to_s.strip
      return host[1..].split(']').first if host.start_with?('[')

      host.count(':') == 1 ? host.split(':').first : host
    end

    # Status, header fields and body, as function URLs read what a handler returned.
    def self.answer(result)
      result = result.transform_keys(&:to_s) if result.is_a?(Hash)
      unless result.is_a?(Hash) && result.key?('statusCode')
        return [200, [['Content-Type', JSON_TYPE]], result.is_a?(String) ? result : JSON.generate(result)]
      end
      fields = []
      (result['headers'] || {}).merge(result['multiValueHeaders'] || {}).each do |name, values|
        [*values].compact.each { |value| fields << [name.to_s, value.to_s] }
      end
      (result['cookies'] || []).each { |cookie| fields << ['Set-Cookie', cookie.to_s] }
      fields << ['Content-Type', JSON_TYPE] unless fields.any? { |name, _| name.casecmp?('content-type') }
      Faas.check(fields)
      [Faas.final(result['statusCode']), fields, body(result)]
    end

    def self.body(result)
      body = result['body']
      return body.to_s.unpack1('m') if result['isBase64Encoded']
      return body.to_s if body.nil? || body.is_a?(String)

      JSON.generate(body)
    end
  end
end

# frozen_string_literal: true

# The HTTP server around handler.rb: ruby's shim between the invoker and the user's function. One thread a connection; the
# invoker keeps as many connections as it has requests in flight.
require 'json'
require 'socket'
require 'stringio'
require 'uri'

$stdout.sync = true
$stderr.sync = true

# What is here is no name of the handler's.
module Faas
  TEXT = 'text/plain; charset=utf-8'
  BYTES = 'application/octet-stream'
  JSON_TYPE = 'application/json'
  MAX_HEAD = 1024 * 1024
  REASONS = {
    200 => 'OK', 201 => 'Created', 202 => 'Accepted', 204 => 'No Content', 301 => 'Moved Permanently', 302 => 'Found',
    303 => 'See Other', 304 => 'Not Modified', 307 => 'Temporary Redirect', 308 => 'Permanent Redirect',
    400 => 'Bad Request', 401 => 'Unauthorized', 403 => 'Forbidden', 404 => 'Not Found', 405 => 'Method Not Allowed',
    409 => 'Conflict', 422 => 'Unprocessable Entity', 429 => 'Too Many Requests',
    431 => 'Request Header Fields Too Large', 500 => 'Internal Server Error', 501 => 'Not Implemented',
    502 => 'Bad Gateway', 503 => 'Service Unavailable', 505 => 'HTTP Version Not Supported'
  }.freeze

  # One HTTP request. Names of header fields are in lower case; body is bytes.
  Event = Struct.new(:body, :headers, :http_method, :query, :path, :target, keyword_init: true) do
    # The body as text.
    def text = body.dup.force_encoding(Encoding::UTF_8)

    # The body as JSON.
    def json = JSON.parse(body)
  end

  # What is the same for every request.
  Context = Struct.new(:function_name, :hostname, keyword_init: true)

  # A request that is no good HTTP.
  class Refused < StandardError
    attr_reader :status

    def initialize(status)
      @status = status
      super("refused with #{status}")
    end
  end

  # The caller has gone; there is nobody to tell.
  class Gone < StandardError; end

  # $stdout: the request's own while one is handled, else the process's, which is the log.
  class Stdout
    def initialize(log) = @log = log
    def target = Thread.current.thread_variable_get(:faas_printed) || @log
    def write(...) = target.write(...)
    def method_missing(...) = target.public_send(...)
    def respond_to_missing?(...) = @log.respond_to?(...)

    # Kernel's are found before method_missing.
    %i[puts print printf p putc << flush].each { |name| define_method(name) { |*a| target.public_send(name, *a) } }
  end

  # How the user's handler is called, and what it answers.
  class Handler
    def initialize
      here = __dir__
      $LOAD_PATH.unshift(here, File.join(here, 'function'))
      gemfile = File.join(here, 'function', 'Gemfile')
      if Dir.exist?(File.join(here, '.deps'))
        ENV['BUNDLE_GEMFILE'] = gemfile
        ENV['BUNDLE_PATH'] = File.join(here, '.deps')
        require 'bundler/setup'
      end
      file, name = entry(File.join(here, 'function'))
      load_user(file)
      @lambda = named(name) if name && name != 'handle'
      @handle = defined_method('handle')
      require File.join(here, 'aws_lambda') if @lambda
      return if @lambda || @handle

      name = %w[lambda_handler handler].find { |one| defined_method(one) }
      @lambda = name && named(name)
      @main = defined_method('main')
      require File.join(here, 'aws_lambda') if @lambda
      return if @lambda || @main

      abort "function/#{File.basename(file)}.rb defines neither handle(req), handle(event:, context:), " \
            'lambda_handler(event:, context:) nor main'
    end

    # Whether requests are answered by it; else it is a web server of its own.
    def answers? = !(@lambda || @handle).nil?

    def main = @main.call

    def call(event)
      return Lambda.call(@lambda, event) if @lambda

      @context ||= Context.new(function_name: ENV['OPENFAAS_NAME'].to_s, hostname: Socket.gethostname)
      kinds = @handle.parameters.map(&:first)
      return Faas.reply(@handle.call(event: event, context: @context)) if kinds.include?(:keyreq)
      return Faas.reply(@handle.call(event, @context)) if kinds.count(:req) >= 2

      plain(event)
    end

    private

    # The user's file, and the name in it that FAAS_HANDLER asks for, written as Lambda does: `file.method`.
    def entry(folder)
      path, dot, name = ENV['FAAS_HANDLER'].to_s.rpartition('.')
      return [File.join(folder, path), name] unless dot.empty?

      found = %w[handler lambda_function app function].find { |one| File.exist?(File.join(folder, "#{one}.rb")) }
      [File.join(folder, found || 'handler'), nil]
    end

    # A library that is missing ends the function, with what to do.
    def load_user(file)
      require file
    rescue LoadError => e
      warn e.full_message(highlight: false)
      missing = e.path.to_s
      abort "#{File.basename(file)}.rb is not there: a function is in handler.rb, or where FAAS_HANDLER says" if missing == file
      abort "`#{missing}` is not installed: add the gem that has it to Gemfile"
    end

    def defined_method(name)
      Object.new.method(name) if Object.private_method_defined?(name) || Object.method_defined?(name)
    end

    # `method`, or `Module::Class.method`.
    def named(name)
      owner, dot, method = name.rpartition('.')
      owner, _, method = name.rpartition('::') if dot.empty? && name.include?('::')
      found = owner.empty? ? defined_method(method) : Object.const_get(owner).method(method)
      found or abort "FAAS_HANDLER asks for #{name}, which is not defined"
    end

    # What is printed comes before what is returned.
    def plain(event)
      out = StringIO.new
      Thread.current.thread_variable_set(:faas_printed, out)
      result = begin
        @handle.call(event.text)
      ensure
        Thread.current.thread_variable_set(:faas_printed, nil)
      end
      body, type = Faas.encode(result)
      return [200, [['Content-Type', type]], body] if out.string.empty?

      rest = body
      body = rest.is_a?(String) ? out.string.b + rest.b : [out.string].each + rest
      [200, [['Content-Type', TEXT]], body]
    end
  end

  # A body as a string or what yields strings, and its content type.
  def self.encode(body)
    case body
    when nil then ['', TEXT]
    when String then [body, body.encoding == Encoding::BINARY || !body.valid_encoding? ? BYTES : TEXT]
    when Enumerator then [body, TEXT]
    else
      return [Enumerator.new { |out| while (chunk = body.read(65_536)) do out << chunk end }, BYTES] if body.respond_to?(:read)

      [JSON.generate(body), JSON_TYPE]
    end
  end

  # Status, header fields and body of what a handler returned.
  def self.reply(result)
    status = 200
    fields = []
    if result.is_a?(Hash)
      whole = result.transform_keys(&:to_s)
      if whole.key?('statusCode') || whole.key?('body')
        status = whole['statusCode'] || 200
        (whole['headers'] || {}).each { |name, values| [*values].compact.each { |value| fields << [name.to_s, value.to_s] } }
        result = whole['body']
      end
    end
    body, type = encode(result)
    fields << ['Content-Type', type] unless fields.any? { |name, _| name.casecmp?('content-type') }
    check(fields)
    [final(status), fields, body]
  end

  # The status of an answer. Refuses what is none, or only says that the answer is to come.
  def self.final(status)
    number = Integer(status, exception: false)
    return number if number&.between?(200, 999) && (!status.is_a?(Numeric) || number == status)

    raise ArgumentError, "the status #{status.inspect} is none that an answer can have: 200 to 999 are"
  end

  # Refuses what can't be a header field: it would end the head, or be another field.
  def self.check(fields)
    fields.each do |name, value|
      raise ArgumentError, "#{name.inspect} can't be the name of a header field" unless name.b.match?(/\A[!#$%&'*+.^_`|~0-9A-Za-z-]+\z/n)
      next unless value.b.match?(/[\x00-\x08\x0a-\x1f\x7f]/n)

      raise ArgumentError, "the header field #{name} holds a line end or another control character"
    end
  end

  # HTTP/1.1 over one thread a connection.
  class Server
    def initialize(handler, port)
      @handler = handler
      @socket = TCPServer.new('127.0.0.1', port)
      @socket.listen(1024)
      @stopping = false
      @busy = 0
      @lock = Mutex.new
      @idle = ConditionVariable.new
    end

    def serve
      wake, waker = IO.pipe
      %w[TERM INT].each { |name| trap(name) { @stopping = true; waker.write_nonblock('x', exception: false) } }
      until @stopping
        ready, = IO.select([@socket, wake])
        next if ready.include?(wake)

        client = @socket.accept_nonblock(exception: false)
        next if client == :wait_readable

        Thread.new(client) { |connection| run(connection) }
      end
      @socket.close
      @lock.synchronize { @idle.wait(@lock) while @busy.positive? }
    end

    private

    def run(socket)
      socket.setsockopt(Socket::IPPROTO_TCP, Socket::TCP_NODELAY, 1)
      nil while !@stopping && request(socket)
    rescue Gone, SystemCallError, IOError
      nil # the caller has gone; there is nobody to tell
    rescue StandardError => e
      warn e.full_message(highlight: false)
    ensure
      socket.close
    end

    # Answers one request; whether the connection can take another.
    def request(socket)
      line = socket.gets("\n", MAX_HEAD)
      return false if line.nil?

      @lock.synchronize { @busy += 1 }
      begin
        answer(socket, line)
      ensure
        @lock.synchronize { @busy -= 1; @idle.broadcast }
      end
    end

    def answer(socket, line)
      begin
        event, version = parse(socket, line)
      rescue Refused => e
        return send_answer(socket, e.status, [], '', false, 'GET', 'HTTP/1.1')
      end
      tokens = event.headers['connection'].to_s.downcase
      keep = !tokens.include?('close') && (version == 'HTTP/1.1' || tokens.include?('keep-alive'))
      begin
        status, fields, body = @handler.call(event)
      rescue StandardError, ScriptError, SystemExit, NoMemoryError, SystemStackError => e
        warn e.full_message(highlight: false)
        status, fields, body = 500, [['Content-Type', TEXT]], "#{e.class}: #{e.message}\n"
      end
      send_answer(socket, status, fields, body, keep && !@stopping, event.http_method, version)
    end

    def parse(socket, line)
      method, target, version = line.chomp.split(' ', -1)
      raise Refused, 400 unless version && !method.empty?
      raise Refused, 505 unless ['HTTP/1.1', 'HTTP/1.0'].include?(version)

      headers = fields(socket, line.bytesize)
      path, query = target.split('?', 2)
      event = Event.new(
        body: body(socket, headers), headers: headers, http_method: method, target: target,
        path: URI::DEFAULT_PARSER.unescape(path).force_encoding(Encoding::UTF_8),
        query: URI.decode_www_form(query.to_s).to_h
      )
      [event, version]
    rescue ArgumentError
      raise Refused, 400
    end

    def fields(socket, size)
      headers = {}
      loop do
        line = socket.gets("\n", MAX_HEAD) or raise Gone
        size += line.bytesize
        raise Refused, 431 if size > MAX_HEAD

        line = line.chomp
        return headers if line.empty?

        name, value = line.split(':', 2)
        raise Refused, 400 if value.nil? || name.empty? || name.match?(/\s/)

        name = name.downcase
        headers[name] = [headers[name], value.strip].compact.join(name == 'cookie' ? '; ' : ', ')
      end
    end

    def body(socket, headers)
      coding, length = headers.values_at('transfer-encoding', 'content-length')
      return ''.b if coding.nil? && length.nil?
      raise Refused, length ? 400 : 501 if coding && (length || coding.downcase != 'chunked')
      raise Refused, 400 if length && !length.match?(/\A\d+\z/)

      socket.write("HTTP/1.1 100 Continue\r\n\r\n") if headers['expect'].to_s.casecmp?('100-continue')
      return exactly(socket, length.to_i) if length

      whole = ''.b
      loop do
        size = socket.gets("\n", MAX_HEAD).to_s[/\A(\h+)\s*(;.*)?\r?\n\z/, 1] or raise Refused, 400
        break if size.hex.zero?

        whole << exactly(socket, size.hex)
        raise Refused, 400 unless socket.gets("\n", 3) == "\r\n"
      end
      nil until [nil, "\r\n", "\n"].include?(socket.gets("\n", MAX_HEAD)) # trailers
      whole
    end

    def exactly(socket, size)
      return ''.b if size.zero?

      bytes = socket.read(size)
      raise Gone if bytes.nil? || bytes.bytesize != size

      bytes
    end

    # Sends an answer; whether the connection can take another request.
    def send_answer(socket, status, fields, body, keep, method, version)
      streamed = !body.is_a?(String)
      bare = [204, 304].include?(status) || status < 200
      chunked = streamed && !bare && version == 'HTTP/1.1'
      keep &&= chunked || !streamed
      top = "HTTP/1.1 #{status} #{REASONS.fetch(status, 'Unknown')}\r\n".b
      fields.each do |name, value|
        # The others are the server's.
        top << "#{name}: #{value}\r\n".b unless %w[content-length transfer-encoding connection].include?(name.downcase)
      end
      top << "Transfer-Encoding: chunked\r\n" if chunked
      top << "Content-Length: #{body.bytesize}\r\n" if !streamed && !bare
      top << "Connection: close\r\n" unless keep
      top << "\r\n"
      silent = bare || method == 'HEAD'
      socket.write(*(streamed || silent ? [top] : [top, body]))
      return keep if !streamed || silent

      body.each do |chunk|
        chunk = chunk.to_s
        next if chunk.empty?

        socket.write(*(chunked ? ["#{chunk.bytesize.to_s(16)}\r\n", chunk, "\r\n"] : [chunk]))
      end
      socket.write("0\r\n\r\n") if chunked
      keep
    end
  end
end

if $PROGRAM_NAME == __FILE__
  ENV['PORT'] ||= '5000'
  $stdout = Faas::Stdout.new($stdout)
  handler = Faas::Handler.new
  handler.answers? ? Faas::Server.new(handler, Integer(ENV['PORT'])).serve : handler.main
end

# frozen_string_literal: true

require 'json'
require 'socket'
require 'uri'

TEXT = 'text/plain; charset=utf-8'

# One request.
class Probe
  def initialize(client)
    @client = client
    @method, target, = client.gets.split
    path, query = target.split('?', 2)
    @path = URI::DEFAULT_PARSER.unescape(path).force_encoding('UTF-8')
    @query = URI.decode_www_form(query.to_s).to_h
    @headers = Hash.new { |headers, name| headers[name] = [] }
    while (line = client.gets.chomp) != ''
      name, value = line.split(':', 2)
      @headers[name.downcase] << value.strip
    end
    @body = body
  end

  def answer
    case @path
    when '/echo' then reply(200, @body, @headers['content-type'].first || 'none')
    when %r{\A/inspect}
      json(method: @method, path: @path, query: @query, two: @headers['x-two'].join(', '), cookie: @headers['cookie'].join('; '))
    when '/status' then reply(@query['code'].to_i, "status #{@query['code']}")
    when '/redirect' then reply(302, '', TEXT, ['Location: /elsewhere'])
    when '/cookies' then reply(200, 'set', TEXT, ['Set-Cookie: a=1; Path=/', 'Set-Cookie: b=2'])
    when '/json' then json(tax: 4.7, of: ['grüß', nil, true])
    when '/text' then reply(200, 'grüß')
    when '/stream' then stream
    when '/error' then reply(500, 'no subtotal')
    when '/slow'
      sleep 0.5
      reply(200, 'slow')
    when '/environment' then reply(200, ENV.fetch('PROBE', 'none'))
    when '/secret' then reply(200, File.read("#{ENV.fetch('FAAS_SECRETS_DIR', '/var/openfaas/secrets')}/portability-key"))
    else reply(404, 'no such path')
    end
  end

  private

  def body
    return @client.read(@headers['content-length'].first.to_i) if @headers['transfer-encoding'].empty?

    whole = ''.b
    until (size = @client.gets.hex).zero?
      whole << @client.read(size)
      @client.gets
    end
    @client.gets
    whole
  end

  def reply(status, body, type = TEXT, more = [])
    bare = status == 204
    more << "Content-Length: #{body.bytesize}" unless bare
    @client.write("HTTP/1.1 #{status} Status\r\nContent-Type: #{type}\r\n", *more.map { |field| "#{field}\r\n" }, "Connection: close\r\n\r\n")
    @client.write(body) unless bare || @method == 'HEAD'
  end

  def json(data) = reply(200, JSON.generate(data), 'application/json')

  def stream
    @client.write("HTTP/1.1 200 OK\r\nContent-Type: #{TEXT}\r\nConnection: close\r\n\r\n")
    ["one\n", "two\n", "three\n"].each do |word|
      @client.write(word)
      sleep 0.3
    end
  end
end

def main
  server = TCPServer.new('127.0.0.1', Integer(ENV.fetch('PORT')))
  server.listen(128)
  loop do
    Thread.new(server.accept) do |client|
      Probe.new(client).answer
    rescue SystemCallError, NoMethodError
      nil # gone before it asked
    ensure
      client.close
    end
  end
end

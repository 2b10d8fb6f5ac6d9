# frozen_string_literal: true

require 'socket'

# What a request is answered with.
def answer(body)
  body
end

# Your own web server: it listens on 127.0.0.1, port $PORT, until it is ended. This one reads one request a connection.
def main
  server = TCPServer.new('127.0.0.1', Integer(ENV.fetch('PORT')))
  loop do
    Thread.new(server.accept) do |client|
      head = client.gets("\r\n\r\n").to_s
      length = head[/^content-length:\s*(\d+)/i, 1].to_i
      text = answer(client.read(length).to_s)
      client.write("HTTP/1.1 200 OK\r\nContent-Length: #{text.bytesize}\r\nConnection: close\r\n\r\n", text)
    ensure
      client.close
    end
  end
end

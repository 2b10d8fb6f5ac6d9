"""A function that answers what no server should, byte by byte, by the path it is asked for."""
import os
import socketserver

ANSWERS = {
    "/space-in-name": b"HTTP/1.1 200 OK\r\nBad Name: 1\r\nContent-Length: 2\r\n\r\nhi",
    "/zero-byte": b"HTTP/1.1 200 OK\r\nX-Zero: a\0b\r\nContent-Length: 2\r\n\r\nhi",
    "/no-colon": b"HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 2\r\n\r\nhi",
    "/two-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi!",
    "/negative-length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nhi",
    "/no-http": b"hello, world\r\n\r\n",
    "/nothing": b"",
    "/half-a-head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "/head-without-end": b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 1000) for n in range(3000)),
    "/status-99": b"HTTP/1.1 99 Odd\r\nContent-Length: 2\r\n\r\nhi",
    "/status-1000": b"HTTP/1.1 1000 Odd\r\nContent-Length: 2\r\n\r\nhi",
    "/status-101": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "/status-100": b"HTTP/1.1 100 Continue\r\nX-A: b\r\n\r\n",
    "/hints": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nafter",
    "/go-on": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nafter",
    "/one-byte": b"HTTP/1.1 200 OK\r\nX-Kept: yes\r\nContent-Length: 10\r\n\r\nh",
    "/short": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhi",
    "/bad-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\nzz\r\n",
    "/split": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
    "/fine": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine",
}


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        while True:
            head = b""
            while b"\r\n\r\n" not in head:
                more = self.request.recv(65536)
                if not more:
                    return
                head += more
            path = head.split(b" ")[1].decode()
            self.request.sendall(ANSWERS[path])
            if path not in ("/fine", "/split", "/status-100", "/status-101"):
                return


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()

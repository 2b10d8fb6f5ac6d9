"""The child of the http-mode tests: a server with a route for each thing that can happen."""
import json
import os
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

GATES = {}


def say(line):
    """In one write, so that the lines of several threads don't mix."""
    os.write(1, line.encode() + b"\n")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def body(self):
        if self.headers.get("transfer-encoding") == "chunked":
            pieces = []
            while size := int(self.rfile.readline(), 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(pieces)
        return self.rfile.read(int(self.headers.get("content-length", 0)))

    def answer(self, content, status=200, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def handle_any(self):
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        getattr(self, "on_" + url.path.strip("/").replace("-", "_"), self.on_echo)(query)

    do_GET = do_POST = do_PUT = do_HEAD = do_OPTIONS = handle_any

    def on_echo(self, query):
        self.answer(self.body(), int(query.get("status", 200)))

    def on_nest(self, query):
        """Starts a process, and never answers."""
        say(f"nested {subprocess.Popen(['sleep', '600']).pid}")
        threading.Event().wait()

    def on_request(self, query):
        if "after" in query:
            say("asked to wait")
            time.sleep(float(query["after"]))
        body = self.body()
        seen = {"method": self.command, "path": self.path, "length": len(body), "pid": os.getpid(),
                "headers": {name.lower(): value for name, value in self.headers.items()},
                "env": dict(os.environ), "argv": sys.argv, "cwd": os.getcwd()}
        self.answer(json.dumps(seen).encode(), headers=[("Content-Type", "application/json")])

    def on_chunked(self, query):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in ("one", "two", "three"):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece.encode()))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def on_hop(self, query):
        self.answer(b"hop", headers=[("Connection", "keep-alive, X-Inner"), ("X-Inner", "1"), ("Keep-Alive", "timeout=9"),
                                     ("Proxy-Authenticate", "Basic"), ("X-Outer", "2")])

    def on_large(self, query):
        """A response of many bytes, the reader of which decides how fast."""
        size = int(query["bytes"])
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        piece = b"x" * 65536
        while size:
            size -= self.wfile.write(piece[:min(size, len(piece))])

    def on_gate(self, query):
        """Answers once /open is called."""
        gate = GATES.setdefault(query.get("name", ""), threading.Event())
        say("at the gate")
        gate.wait()
        self.answer(b"through")

    def on_open(self, query):
        GATES.setdefault(query.get("name", ""), threading.Event()).set()
        self.answer(b"open")

    def on_half(self, query):
        """The head and a part of the body, and then nothing."""
        self.send_response(200)
        self.send_header("Content-Length", "10")
        self.end_headers()
        self.wfile.write(b"half")
        self.wfile.flush()
        threading.Event().wait()

    def on_eat(self, query):
        """Holds memory for a while."""
        kept = b"x" * int(query["bytes"])
        time.sleep(float(query.get("for", 1000)))
        self.answer(b"eaten" if kept else b"")

    def on_crash(self, query):
        print("crashing on demand", file=sys.stderr, flush=True)
        os._exit(3)

    def on_hang_up(self, query):
        self.body()
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def on_close(self, query):
        """Answers, and closes the connection without having said so."""
        self.answer(b"closing")
        self.close_connection = True
        self.server.closed_on_demand.add(self.connection)

    def on_head_of(self, query):
        self.answer(b"x" * int(query["bytes"]))

    def on_websocket(self, query):
        """Agrees, then sends back in capitals what it gets, until it gets no more."""
        if self.headers.get("upgrade") != "websocket" or self.headers.get("connection") != "upgrade":
            return self.answer(b"no websocket", 426)
        self.send_response(101)
        self.send_header("Connection", "Upgrade")
        self.send_header("Upgrade", "websocket")
        self.send_header("Sec-WebSocket-Accept", "ok")
        self.end_headers()
        while data := self.connection.recv(1024):
            self.connection.sendall(data.upper())
        self.close_connection = True

    def on_ready(self, query):
        self.answer(b"", 200 if os.path.exists(os.environ.get("READY_FILE", "/")) else 503)

    def on_header_of(self, query):
        self.answer(b"", headers=[("X-Big", "y" * int(query["bytes"]))])


if os.environ.get("SPEAK"):
    print(os.environ["SPEAK"], file=sys.stderr, flush=True)
if os.environ.get("GIVE_UP"):
    sys.exit(int(os.environ["GIVE_UP"]))
if os.environ.get("NEVER_LISTEN"):
    threading.Event().wait()
if os.environ.get("FAIL_UNTIL"):
    # Comes up only once the file is there.
    if not os.path.exists(os.environ["FAIL_UNTIL"]):
        sys.exit(7)


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    closed_on_demand = set()

    def shutdown_request(self, request):
        super().shutdown_request(request)
        if request in self.closed_on_demand:
            self.closed_on_demand.remove(request)
            if "CLOSED_FILE" in os.environ:
                with open(os.environ["CLOSED_FILE"], "a") as file:
                    file.write("closed\n")


Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()

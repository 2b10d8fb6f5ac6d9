"""A function that is a server and says what it was asked, the same behind any watchdog."""
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Mirror(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def body(self):
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline() not in (b"\r\n", b""):
            pass
        return b"".join(pieces)

    def answer(self, status, body, *headers):
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and status != 204:
            self.wfile.write(body)

    def handle_any(self):
        body = self.body()
        path = self.path.split("?")[0]
        if path.startswith("/status/"):
            return self.answer(int(path[8:]), b"as asked\n")
        if path == "/redirect":
            return self.answer(302, b"", ("Location", "/elsewhere"))
        if path == "/cookies":
            return self.answer(200, b"two\n", ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Content-Type", "text/plain"))
        if path == "/hop":
            return self.answer(200, b"hop\n", ("Keep-Alive", "timeout=9"), ("Proxy-Authenticate", "Basic"), ("X-Own", "1"))
        if path == "/empty":
            return self.answer(200, b"")
        if path == "/large":
            return self.answer(200, b"x" * 20000)
        if path == "/stderr":
            print("complaint", file=sys.stderr, flush=True)
            return self.answer(200, b"done\n")
        if path == "/slow":
            time.sleep(1)
            return self.answer(200, b"late\n")
        if path == "/fail":
            return self.answer(500, b"failed\n")
        if path == "/hang-up":
            self.close_connection = True
            return
        if path == "/chunked":
            self.send_response_only(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for piece in ("one", "two", "three"):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece.encode()))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
            return
        seen = {"method": self.command, "target": self.path, "headers": sorted([n.lower(), v] for n, v in self.headers.items()),
                "body": body.decode("latin-1")}
        self.answer(200, json.dumps(seen).encode(), ("Content-Type", "application/json"))

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.handle_any
        raise AttributeError(name)


class Server(ThreadingHTTPServer):
    request_queue_size = 128


Server(("127.0.0.1", int(os.environ["PORT"])), Mirror).serve_forever()

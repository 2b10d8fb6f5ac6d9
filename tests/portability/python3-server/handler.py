import json
import os
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote, urlsplit


class Server(ThreadingHTTPServer):
    request_queue_size = 128


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        url = urlsplit(self.path)
        path, query, body = unquote(url.path), dict(parse_qsl(url.query, keep_blank_values=True)), self.body()
        try:
            self.route(path, query, body)
        except ValueError as error:
            self.reply(500, str(error))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = answer

    def route(self, path, query, body):
        if path == "/echo":
            self.reply(200, body, self.headers.get("Content-Type", "none"))
        elif path.startswith("/inspect"):
            self.reply(200, json.dumps({
                "method": self.command, "path": path, "query": query,
                "two": ", ".join(self.headers.get_all("X-Two", [])), "cookie": self.headers.get("Cookie", ""),
            }))
        elif path == "/status":
            self.reply(int(query["code"]), "status " + query["code"])
        elif path == "/redirect":
            self.reply(302, "", Location="/elsewhere")
        elif path == "/cookies":
            self.reply(200, "set", more=[("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2")])
        elif path == "/json":
            self.reply(200, json.dumps({"tax": 4.7, "of": ["grüß", None, True]}), "application/json")
        elif path == "/text":
            self.reply(200, "grüß")
        elif path == "/stream":
            self.stream()
        elif path == "/error":
            raise ValueError("no subtotal")
        elif path == "/slow":
            time.sleep(0.5)
            self.reply(200, "slow")
        elif path == "/environment":
            self.reply(200, os.environ.get("PROBE", "none"))
        elif path == "/secret":
            with open(os.environ.get("FAAS_SECRETS_DIR", "/var/openfaas/secrets") + "/portability-key") as secret:
                self.reply(200, secret.read())
        else:
            self.reply(404, "no such path")

    def body(self):
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def reply(self, status, body, kind="text/plain; charset=utf-8", more=(), **fields):
        body = body if isinstance(body, bytes) else body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        for name, value in [*more, *fields.items()]:
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and status != 204:
            self.wfile.write(body)

    def stream(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for word in (b"one\n", b"two\n", b"three\n"):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(word), word))
            self.wfile.flush()
            time.sleep(0.3)
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_):
        pass


def main():
    server = Server(("127.0.0.1", int(os.environ["PORT"])), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()

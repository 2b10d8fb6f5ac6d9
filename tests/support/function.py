# A function for tests: an HTTP server that answers with its label and what it was asked; some paths do special things.
import http.server
import os
import signal
import subprocess
import sys
import threading
import time

LABEL = sys.argv[1]


class Function(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def body(self):
        if "chunked" not in (self.headers.get("Transfer-Encoding") or ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        out = bytearray()
        while True:
            size = int(self.rfile.readline().split(b";")[0], 16)
            out += self.rfile.read(size)
            self.rfile.readline()
            if size == 0:
                return bytes(out)

    def answer(self, body, status=200):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Label", LABEL)
        self.end_headers()
        self.wfile.write(body)

    def serve(self):
        body = self.body()
        first, _, rest = self.path.strip("/").partition("/")
        if first == "env":
            return self.answer("".join(f"{k}={v}\n" for k, v in sorted(os.environ.items())).encode())
        if first == "pid":
            return self.answer(str(os.getpid()).encode())
        if first == "secret":
            with open(os.path.join(os.environ["FAAS_SECRETS_DIR"], rest), "rb") as f:
                return self.answer(f.read())
        if first == "raw":
            return self.answer(body)
        if first == "status":
            return self.answer(b"as you asked", int(rest))
        if first == "log":
            print(rest, flush=True)
            return self.answer(b"")
        if first == "pause":
            time.sleep(0.05)
            return self.answer(LABEL.encode())
        if first == "hang":
            while True:
                time.sleep(1)
        if first == "daemonise":
            started = subprocess.Popen(["sleep", "7782"], start_new_session=True, stdout=subprocess.DEVNULL)
            return self.answer(str(started.pid).encode())
        if first == "crash":
            os._exit(3)
        if first == "mark":
            # Waits until the test lets it go on, then leaves a mark.
            while not os.path.exists("go"):
                time.sleep(0.02)
            with open("marks", "a") as f:
                f.write(rest + "\n")
            return self.answer(b"")
        self.answer(f"{LABEL} {self.command} {self.path} ".encode() + body)

    do_GET = do_POST = do_PUT = do_DELETE = serve

    def log_message(self, *args):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Function)
server.daemon_threads = True
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever()

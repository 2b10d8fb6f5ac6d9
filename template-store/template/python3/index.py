"""The HTTP server around handler.py: python3's shim between the invoker and the user's function."""
# What is imported here is waited for at every cold start; asyncio, inspect, json, traceback and urllib are imported by
# who needs them, when it does.
import contextvars
import io
import os
import signal
import socket
import sys
import threading
import time
from types import AsyncGeneratorType, GeneratorType

HERE = os.path.dirname(os.path.abspath(__file__))
MAX_HEAD = 1024 * 1024
REASONS = {
    100: "Continue", 200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 206: "Partial Content",
    301: "Moved Permanently", 302: "Found", 303: "See Other", 304: "Not Modified", 307: "Temporary Redirect",
    308: "Permanent Redirect", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 409: "Conflict", 410: "Gone", 413: "Content Too Large", 415: "Unsupported Media Type",
    418: "I'm a Teapot", 422: "Unprocessable Content", 429: "Too Many Requests", 431: "Request Header Fields Too Large",
    500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable",
    504: "Gateway Timeout", 505: "HTTP Version Not Supported",
}
TEXT, BYTES, JSON = "text/plain; charset=utf-8", "application/octet-stream", "application/json"

# Where print() goes while a request is handled; threads and tasks of other requests have their own.
printed = contextvars.ContextVar("printed", default=None)


class Stdout:
    """sys.stdout: the request's own while one is handled, else the process's, which is the log."""

    def __init__(self, log):
        self._log = log

    def __getattr__(self, name):
        return getattr(printed.get() or self._log, name)

    # Not left to __getattr__: print() and the interpreter's end look these up on every call.
    def write(self, text):
        return (printed.get() or self._log).write(text)

    def flush(self):
        return (printed.get() or self._log).flush()


class Headers(dict):
    """Header fields by lower-case name; looked up in any case. A repeated one is joined by commas."""

    def add(self, name, value):
        name = name.lower()
        have = dict.get(self, name)
        self[name] = value if have is None else f"{have}{'; ' if name == 'cookie' else ', '}{value}"

    def get(self, name, default=None):
        return dict.get(self, name.lower(), default)

    def __getitem__(self, name):
        return dict.__getitem__(self, name.lower())

    def __contains__(self, name):
        return dict.__contains__(self, name.lower())


class Event:
    """One HTTP request."""

    __slots__ = ("body", "headers", "method", "query", "path", "raw_path", "raw_query")

    def __init__(self, method, target, headers, body):
        if not target.startswith("/"):  # a whole URL
            target = "/" + target.partition("://")[2].partition("/")[2]
        self.raw_path, _, self.raw_query = target.partition("?")
        self.method, self.headers, self.body = method, headers, body
        self.path, self.query = self.raw_path, dict(pairs(self.raw_query))
        if "%" in self.raw_path:
            from urllib.parse import unquote
            self.path = unquote(self.raw_path)

    def text(self):
        """The body as text."""
        return self.body.decode("utf-8", "surrogateescape")

    def json(self):
        """The body as JSON."""
        from json import loads
        return loads(self.body)


class Context:
    """What is the same for every request."""

    __slots__ = ("function_name", "hostname")

    def __init__(self):
        self.function_name = os.environ.get("OPENFAAS_NAME", "")
        self.hostname = socket.gethostname()


def pairs(query):
    """Names and values of a query."""
    if not query:
        return []
    from urllib.parse import parse_qsl
    return parse_qsl(query, keep_blank_values=True)


class Refused(Exception):
    """A request that is no good HTTP: the status to answer before the connection is closed."""


def encode(body):
    """A body as bytes or chunks of bytes, and its content type."""
    if body is None:
        return b"", None
    if isinstance(body, str):
        return body.encode("utf-8", "surrogateescape"), TEXT
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(body), BYTES
    if isinstance(body, (GeneratorType, AsyncGeneratorType)):
        return body, TEXT
    from json import dumps
    return dumps(body).encode(), JSON


def reply(result):
    """Status, header fields and body of what handle(event, context) returned."""
    status, fields, body = 200, {}, result
    if isinstance(result, dict) and ("statusCode" in result or "body" in result):
        status, fields, body = result.get("statusCode"), result.get("headers") or {}, result.get("body")
    elif isinstance(result, tuple) and len(result) in (2, 3) and isinstance(result[1], int):
        body, status, fields = result if len(result) == 3 else (*result, {})
    body, kind = encode(body)
    fields = [(str(k), v) for k, vs in dict(fields).items() for v in (vs if isinstance(vs, (list, tuple)) else [vs])
              if v is not None]
    if kind and not any(k.lower() == "content-type" for k, _ in fields):
        fields.append(("Content-Type", kind))
    return 200 if status is None else status, fields, body


def imported(name):
    """A module by its whole name. One that is missing ends the function, with what to do."""
    try:
        __import__(name)
    except ModuleNotFoundError as error:
        trace()
        root = (error.name or "").partition(".")[0]
        if root and root != "function":
            sys.exit(f"the module `{root}` is not installed: add the package that has it to requirements.txt")
        sys.exit(f"{name.replace('.', '/')}.py is not there: a function is in handler.py, or where FAAS_HANDLER says")
    return sys.modules[name]


def entry():
    """The user's module, and the name in it that FAAS_HANDLER asks for, written as Lambda does: `module.function`."""
    path, _, name = os.environ.get("FAAS_HANDLER", "").replace("/", ".").rpartition(".")
    if path:
        return imported("function." + path), name
    # handler.py, or what AWS, its examples and SAM call it.
    there = [name for name in ("handler", "lambda_function", "app", "main", "index")
             if os.path.exists(os.path.join(HERE, "function", name + ".py"))]
    return imported("function." + (there or ["handler"])[0]), None


async def whole(awaitable):
    """What an awaitable comes to."""
    return await awaitable


def needed(function):
    """How many arguments a function must be given."""
    code = getattr(function, "__code__", None)
    if code is not None and not hasattr(function, "__self__") and not hasattr(function, "__wrapped__"):
        return code.co_argcount - len(function.__defaults__ or ())
    from inspect import signature
    return len([p for p in signature(function).parameters.values()
                if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty])


def load():
    """The user's module, and a function from Event to (status, fields, body); None when it serves by itself."""
    sys.path[:0] = [HERE, os.path.join(HERE, ".deps"), os.path.join(HERE, "function")]
    module, named = entry()
    handle = getattr(module, named or "handle", None)
    if named and not callable(handle):
        sys.exit(f"FAAS_HANDLER asks for {named}, which {module.__name__.replace('.', '/')}.py does not define")
    if named and named != "handle":
        return module, as_lambda(handle)
    if not callable(handle):
        for name in ("lambda_handler", "handler", "main"):
            function = getattr(module, name, None)
            if callable(function) and (name != "main" or needed(function) >= 2):
                return module, as_lambda(function)
        if callable(getattr(module, "main", None)):
            return module, None
        app = getattr(module, "app", None)
        if app is None and callable(getattr(module, "create_app", None)):
            app = module.create_app()
        if callable(app):
            return module, wsgi(app)
        sys.exit(f"{module.__name__.replace('.', '/')}.py defines neither handle(req), handle(event, context), "
                 "lambda_handler(event, context), app nor main()")
    def call(*arguments):
        result = handle(*arguments)
        if hasattr(result, "__await__"):
            from asyncio import run
            return run(whole(result))
        return result

    if needed(handle) >= 2:
        context = Context()
        return module, lambda event: reply(call(event, context))

    def plain(event):
        out = io.BytesIO()
        text = io.TextIOWrapper(out, "utf-8", "surrogateescape", newline="", write_through=True)
        token = printed.set(text)
        try:
            result = call(event.text())
        except SystemExit as end:  # a script's way to stop early
            if end.code not in (None, 0):
                raise RuntimeError(f"exit({end.code!r})") from end
            result = None
        finally:
            printed.reset(token)
        status, fields, body = reply(result) if isinstance(result, tuple) else (200, None, None)
        if fields is None:
            body, kind = encode(result)
            fields = [("Content-Type", kind or TEXT)]
        text.flush()
        before = out.getvalue()
        if before:
            body = before + body if isinstance(body, bytes) else chain(before, body)
            if result is not None and not isinstance(result, (str, tuple)):
                fields = [("Content-Type", TEXT)]
        return status, fields, body

    return module, plain


def as_lambda(handler):
    """A function from Event to (status, fields, body) that calls handler(event, context) as AWS Lambda does."""
    from aws_lambda import adapted
    return adapted(handler)


def wsgi(app):
    """A function from Event to (status, fields, body) that calls a WSGI application (PEP 3333)."""
    config = getattr(app, "config", None)
    if isinstance(config, dict) and "PROPAGATE_EXCEPTIONS" in config and config["PROPAGATE_EXCEPTIONS"] is None:
        config["PROPAGATE_EXCEPTIONS"] = True  # Flask's; the caller is to see the message as with any other handler

    def call(event):
        environ = {
            "REQUEST_METHOD": event.method, "SCRIPT_NAME": "", "QUERY_STRING": event.raw_query,
            "PATH_INFO": event.path.encode("utf-8", "surrogateescape").decode("latin-1"),
            "SERVER_NAME": "127.0.0.1", "SERVER_PORT": os.environ["PORT"], "SERVER_PROTOCOL": "HTTP/1.1",
            "CONTENT_LENGTH": str(len(event.body)), "wsgi.version": (1, 0), "wsgi.input": io.BytesIO(event.body),
            "wsgi.url_scheme": event.headers.get("x-forwarded-proto", "http"), "wsgi.errors": sys.stderr,
            # The body is whole: what told how it came is no longer so.
            "wsgi.input_terminated": True, "wsgi.multithread": True, "wsgi.multiprocess": False, "wsgi.run_once": False,
        }
        for name, value in event.headers.items():
            key = name.upper().replace("-", "_")
            if key == "CONTENT_TYPE":
                environ[key] = value
            elif key not in ("CONTENT_LENGTH", "TRANSFER_ENCODING"):
                environ["HTTP_" + key] = value
        started, written = [], []

        def start_response(status, fields, error=None):
            started[:] = [status.split(None, 1)[0], [(name, spelled(value)) for name, value in fields]]
            return written.append

        body = app(environ, start_response)
        if not started:  # what starts its answer with its first chunk
            body = chain(next(iter(body), b""), body)
        status, fields = started
        if isinstance(body, (list, tuple)) or any(k.lower() == "content-length" for k, _ in fields):
            try:
                return status, fields, b"".join(written) + b"".join(body)
            finally:
                getattr(body, "close", lambda: None)()
        return status, fields, closing(written, body)

    return call


def spelled(value):
    """What a WSGI application means: its strings are bytes, a character each."""
    try:
        return value.encode("latin-1").decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return value


def closing(first, body):
    """The chunks of a WSGI body, which is closed after them."""
    try:
        yield from first
        yield from body
    finally:
        getattr(body, "close", lambda: None)()


def chain(first, rest):
    """Bytes, then chunks."""
    yield first
    yield from chunks(rest)


def chunks(body):
    """The chunks of a streamed body as bytes."""
    if isinstance(body, AsyncGeneratorType):
        import asyncio
        loop = asyncio.new_event_loop()
        try:
            while True:
                try:
                    yield encode(loop.run_until_complete(body.__anext__()))[0]
                except StopAsyncIteration:
                    return
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()
    for chunk in body:
        yield encode(chunk)[0]


def final(status):
    """The status of an answer as a number. Refuses what is none, or only says that the answer is to come."""
    try:
        number = int(status)
    except (TypeError, ValueError, OverflowError):
        number = 0
    if not 200 <= number <= 999 or isinstance(status, float) and number != status:
        raise ValueError(f"the status {status!r} is none that an answer can have: 200 to 999 are")
    return number


def checked(name, value):
    """Refuses what can't be a header field: it would end the head, or be another field."""
    if not name or not name.isascii() or any(c <= " " or c in '():<>@,;\\"/[]?={}\x7f' for c in name):
        raise ValueError(f"{name!r} can't be the name of a header field")
    text = str(value)
    if not text.isprintable() and any(c < " " and c != "\t" or c == "\x7f" for c in text):
        raise ValueError(f"the header field {name} holds a line end or another control character")
    text.encode("utf-8", "surrogateescape")


def trace():
    """Writes the error that is handled to the log."""
    from traceback import print_exc
    print_exc()


class Server:
    """HTTP/1.1 over one thread a connection; the invoker keeps as many connections as it has requests in flight."""

    def __init__(self, handle, port):
        self.handle = handle
        self.stopping = False
        self.busy = 0
        self.idle = threading.Condition()
        self.socket = socket.create_server(("127.0.0.1", port), backlog=1024)

    def serve(self):
        while not self.stopping:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                break
            threading.Thread(target=self.connection, args=(connection,), daemon=True).start()

    def stop(self, *_):
        """Takes no more requests; those in flight are finished by drain()."""
        self.stopping = True
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def drain(self):
        with self.idle:
            self.idle.wait_for(lambda: self.busy == 0)

    def connection(self, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader = connection.makefile("rb", 64 * 1024)
        try:
            while not self.stopping and self.request(connection, reader):
                pass
        except (ConnectionError, TimeoutError):
            pass  # the caller has gone; there is nobody to tell
        except (Exception, SystemExit):
            trace()
        finally:
            reader.close()
            connection.close()

    def request(self, connection, reader):
        """Answers one request; whether the connection can take another."""
        line = reader.readline(MAX_HEAD)
        if not line:
            return False
        with self.idle:
            self.busy += 1
        try:
            try:
                method, target, version, headers = head(line, reader)
                body = read_body(connection, reader, headers)
            except Refused as refused:
                send(connection, refused.args[0], [], b"", False, "GET", "HTTP/1.1")
                return False
            tokens = headers.get("connection", "").lower()
            keep = "close" not in tokens and (version == "HTTP/1.1" or "keep-alive" in tokens)
            try:
                status, fields, body = self.handle(Event(method, target, headers, body))
                status = final(status)
                for name, value in fields:
                    checked(name, value)
            except (Exception, SystemExit) as error:  # a handler that exits ends its request, not the function
                trace()
                status, fields = 500, [("Content-Type", TEXT)]
                body = f"{type(error).__name__}: {error}\n".encode("utf-8", "replace")
            keep = keep and not self.stopping
            return send(connection, status, fields, body, keep, method, version)
        finally:
            with self.idle:
                self.busy -= 1
                self.idle.notify_all()


def head(line, reader):
    """Method, target, version and header fields of a request whose first line was read."""
    try:
        method, target, version = line.decode("latin-1").split()
    except ValueError:
        raise Refused(400) from None
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        raise Refused(505)
    headers, size = Headers(), len(line)
    while True:
        line = reader.readline(MAX_HEAD)
        size += len(line)
        if size > MAX_HEAD:
            raise Refused(431)
        if line in (b"\r\n", b"\n"):
            return method, target, version, headers
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or not name or name != name.strip():
            raise Refused(400)
        headers.add(name, value.strip())


def read_body(connection, reader, headers):
    """The whole body, whether its length is told or it comes in chunks."""
    coding, length = headers.get("transfer-encoding"), headers.get("content-length")
    if coding is None and length is None:
        return b""
    if coding is not None and (length is not None or coding.lower() != "chunked"):
        raise Refused(400 if length is not None else 501)
    if length is not None and not (length.isascii() and length.isdigit()):
        raise Refused(400)
    if headers.get("expect", "").lower() == "100-continue":
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    if length is not None:
        return exactly(reader, int(length))
    parts = []
    while True:
        try:
            size = int(reader.readline(MAX_HEAD).split(b";")[0], 16)
        except ValueError:
            raise Refused(400) from None
        if size < 0:
            raise Refused(400)
        if size == 0:
            break
        parts.append(exactly(reader, size))
        if reader.readline(3) != b"\r\n":
            raise Refused(400)
    while reader.readline(MAX_HEAD) not in (b"\r\n", b"\n", b""):
        pass  # trailers
    return b"".join(parts)


def exactly(reader, size):
    data = reader.read(size)
    if len(data) != size:
        raise ConnectionError("the body ended early")
    return data


def send(connection, status, fields, body, keep, method, version):
    """Sends an answer; whether the connection can take another request."""
    streamed = not isinstance(body, bytes)
    bare = status in (204, 304) or status < 200
    chunked = streamed and version == "HTTP/1.1" and not bare
    keep = keep and (chunked or not streamed)
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Unknown')}"]
    for name, value in fields:
        if name.lower() in ("content-length", "transfer-encoding", "connection"):
            continue  # these are the server's
        lines.append(f"{name}: {value}")
    if chunked:
        lines.append("Transfer-Encoding: chunked")
    elif not streamed and not bare:
        lines.append(f"Content-Length: {len(body)}")
    if not keep:
        lines.append("Connection: close")
    top = ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")
    silent = method == "HEAD" or bare
    if not streamed:
        if silent or len(body) > 65536:  # a large one is not copied
            connection.sendall(top)
            if not silent:
                connection.sendall(body)
        else:
            connection.sendall(top + body)
        return keep
    connection.sendall(top)
    if silent:
        body.close() if isinstance(body, GeneratorType) else None
        return keep
    for chunk in chunks(body):
        if chunk:
            connection.sendall(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
    if chunked:
        connection.sendall(b"0\r\n\r\n")
    return keep


def main():
    sys.stdout.reconfigure(line_buffering=True)
    sys.stdout = Stdout(sys.stdout)
    port = os.environ.setdefault("PORT", "5000")
    module, handle = load()
    if handle is None:
        return module.main()
    server = Server(handle, int(port))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, server.stop)
    server.serve()
    server.drain()


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Stand-in for an OpenFaaS gateway with a single-replica provider, over the Docker Engine API.

Functions are real containers from real images of a real registry; only the gateway and provider in front of them are
replaced. Status codes, headers, JSON fields and messages follow what the real programs answered (answers-openfaas.jsonl);
`contract.py` asks both the same questions. Standard library only.
"""
import argparse
import base64
import datetime
import hmac
import http.client
import json
import logging
import os
import queue
import re
import shutil
import socket
import struct
import threading
import time
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VERSION = "1"
SERVED_BY = "faas-testbed/" + VERSION
DEFAULT_NAMESPACE = "openfaas-fn"
LABEL = "faas.testbed.function"
WATCHDOG_PORT = 8080
NAME = re.compile(r"^[A-Za-z0-9]+(?:[._-](?:[A-Za-z0-9]+))*$")
HOP_BY_HOP = {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer",
              "transfer-encoding", "upgrade", "content-length", "host", "expect"}
CHUNK = 1 << 16
log = logging.getLogger("gateway")


class Refused(Exception):
    """An answer other than success: status and text."""

    def __init__(self, status, text="", newline=True):
        super().__init__(text)
        self.status, self.text = status, text
        self.body = (text + "\n" if text and newline else text).encode()


class Engine:
    """The few calls of the Docker Engine API that functions need."""

    def __init__(self, path):
        self.path = path

    def open(self, method, path, body=None, timeout=600):
        conn = http.client.HTTPConnection("engine", timeout=timeout)
        conn.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        conn.sock.settimeout(timeout)
        conn.sock.connect(self.path)
        conn.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"})
        return conn, conn.getresponse()

    def call(self, method, path, body=None):
        conn, answer = self.open(method, path, body)
        raw = answer.read()
        conn.close()
        if answer.status >= 400:
            raise Refused(answer.status, json.loads(raw or b"{}").get("message", ""))
        return json.loads(raw) if raw and "json" in (answer.getheader("Content-Type") or "") else raw

    def pull(self, image):
        """Pulls the image anew, as the provider does; an error may come in the middle of a 200 answer."""
        conn, answer = self.open("POST", "/images/create?fromImage=" + urllib.parse.quote(image, safe=""))
        for line in answer.read().splitlines():
            row = json.loads(line)
            error = row.get("error") or (row.get("message") if answer.status >= 400 else None)
            if error:
                raise Refused(400, f"unable to pull image {image}: cannot pull: {error}")
        conn.close()


class Store:
    """Functions (in the engine), secrets and namespaces (files), invocation counts (memory)."""

    def __init__(self, engine, state):
        self.engine, self.state = engine, state
        self.secrets_dir = os.path.join(state, "secrets")
        self.lock = threading.RLock()
        self.counts = {}
        os.makedirs(os.path.join(self.secrets_dir, DEFAULT_NAMESPACE), mode=0o700, exist_ok=True)

    # Namespaces -----------------------------------------------------------------------------------------------
    def _namespaces_file(self):
        return os.path.join(self.state, "namespaces.json")

    def namespaces(self):
        try:
            with open(self._namespaces_file()) as f:
                return json.load(f)
        except FileNotFoundError:
            return {DEFAULT_NAMESPACE: {"labels": {"openfaas": "1"}}}

    def save_namespaces(self, all_):
        with open(self._namespaces_file() + ".new", "w") as f:
            json.dump(all_, f)
        os.replace(f.name, self._namespaces_file())

    def check_namespace(self, ns):
        if ns not in self.namespaces():
            raise Refused(400, "namespace not valid")
        return ns

    # Functions ------------------------------------------------------------------------------------------------
    def containers(self, ns, name=None):
        labels = [LABEL, f"{LABEL}.namespace={ns}"] + ([f"{LABEL}.name={name}"] if name else [])
        query = urllib.parse.quote(json.dumps({"label": labels}))
        return self.engine.call("GET", f"/containers/json?all=1&filters={query}")

    def inspect(self, ns, name):
        found = self.containers(ns, name)
        if not found:
            raise Refused(404, f"service {name} not found")
        return self.engine.call("GET", f"/containers/{found[0]['Id']}/json")

    def status(self, c, single):
        labels = c["Config"]["Labels"]
        spec = json.loads(labels[LABEL])
        env = dict(e.split("=", 1) for e in c["Config"]["Env"] or [] if "=" in e)
        process = env.pop("fprocess", "")
        env.pop("PATH", None)
        ns, name = labels[LABEL + ".namespace"], labels[LABEL + ".name"]
        replicas = 1 if c["State"]["Running"] and not c["State"]["Paused"] else 0
        out = {"name": name, "image": spec["image"], "namespace": ns}
        for key, value in (("envProcess", process), ("envVars", env), ("secrets", spec.get("secrets"))):
            if value:
                out[key] = value
        out["labels"] = spec.get("labels") or {}
        out["annotations"] = spec.get("annotations") or {}
        if not single and self.counts.get((ns, name)):
            out["invocationCount"] = self.counts[ns, name]
        if replicas:
            out["replicas"] = replicas
            if single:
                out["availableReplicas"] = replicas
        out["createdAt"] = c["Created"]
        return out

    def list(self, ns):
        self.check_namespace(ns)
        found = []
        for c in self.containers(ns):
            try:
                found.append(self.engine.call("GET", f"/containers/{c['Id']}/json"))
            except Refused as e:
                # Removed since the line above.
                if e.status != 404:
                    raise
        return sorted((self.status(c, single=False) for c in found), key=lambda f: f["name"])

    def deploy(self, spec, update):
        name, image = spec.get("service") or "", spec.get("image") or ""
        ns = self.check_namespace(spec.get("namespace") or DEFAULT_NAMESPACE)
        exists = bool(self.containers(ns, name)) if NAME.match(name) else False
        if update and not exists:
            raise Refused(404, f"service {name} not found")
        if exists and not update:
            raise Refused(400, f'unable to create container: {name}, error: snapshot "{name}-snapshot": already exists')
        for secret in spec.get("secrets") or []:
            if not NAME.match(secret) or not os.path.exists(os.path.join(self.secrets_dir, ns, secret)):
                raise Refused(400, f"unable to find secret: {secret}")
        if not NAME.match(name):
            raise Refused(400, f'unable to create container: {name}, error: create container failed validation: '
                               f'container.ID: identifier "{name}" must match {NAME.pattern}: invalid argument')
        if ":" not in image.rsplit("/", 1)[-1] and "@" not in image:
            image += ":latest"
        self.engine.pull(image)
        env = [f"{k}={v}" for k, v in (spec.get("envVars") or {}).items()]
        if spec.get("envProcess"):
            env.append("fprocess=" + spec["envProcess"])
        host = {
            "Binds": [f"{os.path.join(self.secrets_dir, ns, s)}:/var/openfaas/secrets/{s}:ro" for s in spec.get("secrets") or []],
            "ReadonlyRootfs": bool(spec.get("readOnlyRootFilesystem")),
            "Tmpfs": {"/tmp": ""} if spec.get("readOnlyRootFilesystem") else {},
        }
        if (spec.get("limits") or {}).get("memory"):
            host["Memory"] = quantity(spec["limits"]["memory"])
        body = {
            "Image": image, "Hostname": name[:63], "Env": env, "HostConfig": host,
            "Labels": {LABEL: json.dumps(dict(spec, image=image)), LABEL + ".name": name, LABEL + ".namespace": ns},
        }
        with self.lock:
            if exists:
                self.remove(name, ns)
            made = self.engine.call("POST", f"/containers/create?name=fn-{ns}-{name}", body)
            try:
                self.engine.call("POST", f"/containers/{made['Id']}/start")
            except Refused as e:
                self.engine.call("DELETE", f"/containers/{made['Id']}?force=1")
                raise Refused(400, f"unable to start task: {name}, error: {e.text}") from e

    def remove(self, name, ns):
        self.check_namespace(ns)
        found = self.containers(ns, name) if name else []
        if not found:
            raise Refused(404, f"service {name} not found")
        self.engine.call("DELETE", f"/containers/{found[0]['Id']}?force=1")

    def scale(self, name, ns, replicas):
        c = self.inspect(ns, name)
        if replicas == 0 and c["State"]["Running"] and not c["State"]["Paused"]:
            self.engine.call("POST", f"/containers/{c['Id']}/pause")
        elif replicas > 0:
            self.wake(c)

    def wake(self, c):
        """Resumes a paused function and starts a dead one; answers its address."""
        if c["State"]["Paused"]:
            self.engine.call("POST", f"/containers/{c['Id']}/unpause")
        elif not c["State"]["Running"]:
            self.engine.call("POST", f"/containers/{c['Id']}/start")
            c = self.engine.call("GET", f"/containers/{c['Id']}/json")
        return next(n["IPAddress"] for n in c["NetworkSettings"]["Networks"].values())

    # Secrets --------------------------------------------------------------------------------------------------
    def secret_path(self, spec):
        name = spec.get("name") or ""
        if not name:
            raise Refused(400, "non-empty name is required")
        if "/" in name or ".." in name:
            raise Refused(400, "directory traversal found in name")
        ns = self.check_namespace(spec.get("namespace") or DEFAULT_NAMESPACE)
        folder = os.path.join(self.secrets_dir, ns)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        return os.path.join(folder, name)

    def secrets(self, ns):
        folder = os.path.join(self.secrets_dir, self.check_namespace(ns))
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        return [{"name": n, "namespace": ns} for n in names]

    def write_secret(self, spec):
        raw = base64.b64decode(spec["rawValue"]) if spec.get("rawValue") else (spec.get("value") or "").encode()
        # Readable by all: the function runs as any user; the folder above it is closed. Written in place, so that the
        # bind mount of a running function shows the new value.
        with open(self.secret_path(spec), "wb") as f:
            f.write(raw)
            os.fchmod(f.fileno(), 0o644)


def quantity(text):
    """A Kubernetes quantity as bytes: 64Mi, 128M, 1000."""
    m = re.fullmatch(r"(\d+(?:\.\d+)?)(Ki|Mi|Gi|k|M|G|m)?", text)
    if not m:
        raise Refused(400, f"cannot parse quantity {text!r}")
    unit = {None: 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "k": 10**3, "M": 10**6, "G": 10**9, "m": 0.001}
    return int(float(m[1]) * unit[m[2]])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "faas-testbed", ""
    store = credentials = jobs = None
    provider = False  # the provider's port may scale to zero, the gateway's may not

    def log_message(self, fmt, *args):
        log.info("%s " + fmt, self.client_address[0], *args)

    def handle(self):
        try:
            super().handle()
        except (ConnectionError, TimeoutError):
            pass  # the client went away between two requests

    # Reading and answering ------------------------------------------------------------------------------------
    def body_chunks(self):
        if "chunked" in (self.headers.get("Transfer-Encoding") or "").lower():
            while True:
                left = int(self.rfile.readline().split(b";")[0], 16)
                if left == 0:
                    while self.rfile.readline() not in (b"\r\n", b"\n", b""):
                        pass
                    return
                while left:
                    data = self.rfile.read1(min(left, CHUNK))
                    if not data:
                        raise ConnectionError("the client went away")
                    left -= len(data)
                    yield data
                self.rfile.readline()
        left = int(self.headers.get("Content-Length") or 0)
        while left:
            data = self.rfile.read1(min(left, CHUNK))
            if not data:
                raise ConnectionError("the client went away")
            left -= len(data)
            yield data

    def body_json(self):
        raw = b"".join(self.body_chunks())
        try:
            value = json.loads(raw)
        except ValueError as e:
            raise Refused(400, f"cannot parse the body: {e}") from e
        if not isinstance(value, dict):
            raise Refused(400, "cannot parse the body: not an object")
        return value

    def answer(self, status, body=b"", kind=None, headers=()):
        if isinstance(body, (dict, list)):
            body, kind = json.dumps(body, separators=(",", ":")).encode(), kind or "application/json"
        self.send_response(status)
        for key, value in headers:
            self.send_header(key, value)
        if kind:
            self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, e):
        if not e.text:
            return self.answer(e.status)
        self.answer(e.status, e.body, "text/plain; charset=utf-8", [("X-Content-Type-Options", "nosniff")])

    def allowed(self):
        scheme, _, given = (self.headers.get("Authorization") or "").partition(" ")
        try:
            return scheme.lower() == "basic" and hmac.compare_digest(base64.b64decode(given), self.credentials)
        except ValueError:
            return False

    # Routes ---------------------------------------------------------------------------------------------------
    def serve(self):
        url = urllib.parse.urlsplit(self.path)
        self.query = dict(urllib.parse.parse_qsl(url.query))
        parts = url.path.strip("/").split("/", 2)
        try:
            if parts[0] in ("function", "async-function") and len(parts) > 1 and parts[1]:
                rest = "/" + url.path.split("/", 3)[3] if url.path.count("/") > 2 else "/"
                target = rest + ("?" + url.query if url.query else "")
                return (self.invoke if parts[0] == "function" else self.invoke_async)(parts[1], target)
            if url.path == "/healthz":
                return self.answer(200 if self.command == "GET" else 405)
            handler = self.routes.get("/".join(parts[:2])) if parts[0] == "system" else None
            if not handler:
                return self.refuse(Refused(404, "404 page not found"))
            if not self.allowed():
                for _ in self.body_chunks():
                    pass
                return self.answer(401, b"invalid credentials", "text/plain; charset=utf-8",
                                   [("WWW-Authenticate", 'Basic realm="Restricted"')])
            handler(self, parts[2] if len(parts) > 2 else "")
        except Refused as e:
            self.refuse(e)
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = serve

    def only(self, *methods):
        if self.command not in methods:
            for _ in self.body_chunks():
                pass
            raise Refused(405)

    def namespace(self):
        return self.query.get("namespace") or DEFAULT_NAMESPACE

    def info(self, _):
        self.only("GET")
        self.answer(200, {"provider": {"provider": "faas-testbed", "version": {"sha": "", "release": VERSION}, "orchestration": "docker"},
                          "version": {"commit_message": "stand-in", "sha": "", "release": VERSION}, "arch": "x86_64"})

    def functions(self, _):
        self.only("GET", "POST", "PUT", "DELETE")
        if self.command == "GET":
            try:
                return self.answer(200, self.store.list(self.namespace()))
            except Refused as e:
                raise Refused(e.status, e.text + "\n") from e
        spec = self.body_json()
        if self.command == "DELETE":
            self.store.remove(spec.get("functionName") or "", spec.get("namespace") or self.namespace())
        else:
            self.store.deploy(spec, update=self.command == "PUT")
        self.answer(200)

    def function(self, name):
        self.only("GET")
        self.store.check_namespace(self.namespace())
        try:
            self.answer(200, self.store.status(self.store.inspect(self.namespace(), name), single=True))
        except Refused as e:
            raise Refused(e.status) from e

    def scale(self, name):
        self.only("POST")
        spec = self.body_json()
        ns = self.store.check_namespace(spec.get("namespace") or self.namespace())
        replicas = int(spec.get("replicas") or 0)
        self.store.scale(spec.get("serviceName") or name, ns, replicas if self.provider else max(1, replicas))
        self.answer(200)

    def secrets(self, _):
        self.only("GET", "POST", "PUT", "DELETE")
        if self.command == "GET":
            body = json.dumps(self.store.secrets(self.namespace()), separators=(",", ":")).encode()
            return self.answer(200, body, "text/plain; charset=utf-8")
        spec = self.body_json()
        if self.command == "DELETE":
            path = self.store.secret_path(spec)
            if not os.path.exists(path):
                raise Refused(500, f"remove {path}: no such file or directory")
            os.remove(path)
        else:
            self.store.write_secret(spec)
        self.answer(200)

    def namespaces(self, _):
        self.only("GET")
        self.answer(200, sorted(self.store.namespaces()))

    def namespace_one(self, name):
        self.only("GET", "POST", "PUT", "DELETE")
        if self.command == "GET":
            known = self.store.namespaces()
            if name not in known:
                raise Refused(404, f"namespace {name} not found")
            return self.answer(200, {"name": name, **known[name]})
        spec = self.body_json()
        name = spec.get("name") or name
        labels = spec.get("labels") or {}
        if not name:
            raise Refused(400, "non-empty name is required")
        if not NAME.match(name):
            raise Refused(400, f"namespace {name} is not a valid name")
        if labels.get("openfaas") != "1":
            raise Refused(400, "request does not have openfaas=1 label")
        with self.store.lock:
            known = self.store.namespaces()
            if self.command == "POST" and name in known:
                raise Refused(409, f"namespace {name} already exists")
            if self.command != "POST" and name not in known:
                raise Refused(404, f"namespace {name} not found")
            if self.command == "DELETE":
                if name == DEFAULT_NAMESPACE or self.store.containers(name):
                    raise Refused(500, f'namespace "{name}" must be empty, but it still has containers')
                del known[name]
                shutil.rmtree(os.path.join(self.store.secrets_dir, name), ignore_errors=True)
            else:
                known[name] = {"labels": labels}
                if spec.get("annotations"):
                    known[name]["annotations"] = spec["annotations"]
            self.store.save_namespaces(known)
        self.answer({"POST": 201, "PUT": 202, "DELETE": 202}[self.command])

    def logs(self, _):
        self.only("GET")
        name, follow = self.query.get("name") or "", self.query.get("follow") in ("true", "1")
        try:
            c = self.store.inspect(self.namespace(), name)
        except Refused:
            return self.answer(200)
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        tail = self.query.get("tail") or ""
        tail = int(tail) if tail.isdigit() else 0
        # Without follow the provider's journalctl answers the oldest lines of the time window, not the newest.
        left = tail if tail and not follow else -1
        newest = tail if tail and follow else "all"
        path = f"/containers/{c['Id']}/logs?stdout=1&stderr=1&timestamps=1&follow={int(follow)}&tail={newest}"
        if self.query.get("since"):
            try:
                since = datetime.datetime.fromisoformat(self.query["since"].replace("Z", "+00:00"))
                path += f"&since={since.timestamp():.6f}"
            except ValueError:
                pass
        conn, answer = self.store.engine.open("GET", path)
        try:
            while left != 0:
                head = answer.read(8)
                if len(head) < 8:
                    break
                for line in answer.read(struct.unpack(">I", head[4:])[0]).decode(errors="replace").splitlines():
                    if left == 0:
                        break
                    left -= 1
                    stamp, _, text = line.partition(" ")
                    row = {"name": name, "namespace": self.namespace(), "instance": c["Id"][:12], "timestamp": stamp, "text": text}
                    data = json.dumps(row, separators=(",", ":")).encode() + b"\n"
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                    self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
        except socket.timeout:
            self.close_connection = True
        finally:
            conn.close()

    # Invocation -----------------------------------------------------------------------------------------------
    def call_headers(self, call_id):
        headers = [(k, v) for k, v in self.headers.items() if k.lower() not in HOP_BY_HOP]
        return headers + [("X-Call-Id", call_id), ("X-Start-Time", str(time.time_ns())),
                          ("X-Forwarded-For", "%s:%d" % self.client_address[:2]), ("X-Forwarded-Host", self.headers.get("Host") or "")]

    def invoke(self, full_name, target):
        call_id = self.headers.get("X-Call-Id") or str(uuid.uuid4())
        has_body = self.headers.get("Content-Length") not in (None, "0") or self.headers.get("Transfer-Encoding")
        stamp = str(time.time_ns())
        try:
            conn, answer = call_function(self.store, full_name, self.command, target, self.call_headers(call_id),
                                         self.body_chunks() if has_body else None)
        except Refused:
            for _ in self.body_chunks():
                pass
            raise
        self.send_response(answer.status, answer.reason)
        for key, value in answer.getheaders():
            if key.lower() not in HOP_BY_HOP:
                self.send_header(key, value)
        for key, value in (("X-Call-Id", call_id), ("X-Served-By", SERVED_BY), ("X-Start-Time", stamp)):
            self.send_header(key, value)
        if not answer.getheader("Content-Type"):
            self.send_header("Content-Type", "text/plain")
        length = answer.getheader("Content-Length")
        bare = self.command == "HEAD" or answer.status in (204, 304)
        if length is not None and not bare:
            self.send_header("Content-Length", length)
        elif not bare:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while not bare:
            data = answer.read1(CHUNK)
            if not data:
                break
            self.wfile.write(data if length is not None else b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()
        if length is None and not bare:
            self.wfile.write(b"0\r\n\r\n")
        conn.close()

    def invoke_async(self, full_name, target):
        self.only("POST")
        call_id, stamp = self.headers.get("X-Call-Id") or str(uuid.uuid4()), str(time.time_ns())
        callback = self.headers.get("X-Callback-Url") or ""
        body = b"".join(self.body_chunks())
        self.jobs.put((full_name, target, self.call_headers(call_id), body, callback, call_id))
        self.answer(202, headers=[("X-Call-Id", call_id), ("X-Served-By", SERVED_BY), ("X-Start-Time", stamp)])

    routes = {"system/info": info, "system/functions": functions, "system/function": function, "system/scale-function": scale,
              "system/secrets": secrets, "system/namespaces": namespaces, "system/namespace": namespace_one, "system/logs": logs}


def split_name(full_name):
    name, _, ns = full_name.rpartition(".")
    return (name, ns) if name else (full_name, DEFAULT_NAMESPACE)


def call_function(store, full_name, method, target, headers, chunks):
    """Wakes the function if it sleeps and sends it the call; answers (connection, response)."""
    name, ns = split_name(full_name)
    try:
        store.check_namespace(ns)
        c = store.inspect(ns, name)
    except Refused as e:
        text = e.text + "\n" if e.status == 400 else ""
        raise Refused(404, f"error finding function {name}.{ns}: server returned non-200 status code ({e.status}) "
                           f"for function, {name}, body: {text}", newline=False) from e
    slept = c["State"]["Paused"] or not c["State"]["Running"]
    address = store.wake(c)
    conn = http.client.HTTPConnection(address, WATCHDOG_PORT, timeout=600)
    deadline = time.monotonic() + (10 if slept else 0)
    while True:
        try:
            conn.connect()
            break
        except OSError as e:
            if time.monotonic() >= deadline:
                store.counts[ns, name] = store.counts.get((ns, name), 0) + 1
                raise Refused(500, f"Can't reach service for: {name}.") from e
            time.sleep(0.05)
    try:
        conn.putrequest(method, target, skip_accept_encoding=True)
        for key, value in headers:
            conn.putheader(key, value)
        if chunks is None:
            conn.endheaders()
        else:
            conn.putheader("Transfer-Encoding", "chunked")
            conn.endheaders()
            for data in chunks:
                conn.send(b"%x\r\n%s\r\n" % (len(data), data))
            conn.send(b"0\r\n\r\n")
        answer = conn.getresponse()
    except (OSError, http.client.HTTPException) as e:
        raise Refused(500, f"Can't reach service for: {name}.") from e
    finally:
        with store.lock:
            store.counts[ns, name] = store.counts.get((ns, name), 0) + 1
    return conn, answer


def work(store, jobs):
    """The queue worker: one call after another; the answer, whatever it is, goes to the callback."""
    while True:
        full_name, target, headers, body, callback, call_id = jobs.get()
        started = time.monotonic()
        try:
            conn, answer = call_function(store, full_name, "POST", target, headers, iter([body]) if body else None)
            status, out = answer.status, answer.read()
            kept = [("Content-Type", "text/plain"), ("X-Served-By", SERVED_BY), ("X-Start-Time", str(time.time_ns()))]
            kept += [(k, v) for k, v in answer.getheaders() if k.lower() not in HOP_BY_HOP]
            conn.close()
        except Refused as e:
            status, out, kept = e.status, e.body, [("Content-Type", "text/plain; charset=utf-8")]
        if not callback:
            continue
        url = urllib.parse.urlsplit(callback)
        try:
            post = (http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection)(url.netloc, timeout=30)
            post.request("POST", (url.path or "/") + ("?" + url.query if url.query else ""), out, dict(kept) | {
                "X-Call-Id": call_id, "X-Duration-Seconds": f"{time.monotonic() - started:.6f}",
                "X-Function-Name": full_name, "X-Function-Status": str(status)})
            post.getresponse().read()
            post.close()
        except (OSError, http.client.HTTPException) as e:
            log.warning("callback to %s failed: %s", callback, e)


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    p.add_argument("--port", type=int, default=8080)
    p.add_argument("--provider-port", type=int, default=8081)
    p.add_argument("--auth", required=True, help="folder with basic-auth-user and basic-auth-password")
    p.add_argument("--state", required=True, help="folder for secrets and namespaces")
    p.add_argument("--engine", default="/var/run/docker.sock")
    p.add_argument("--log-level", default="info")
    a = p.parse_args()
    logging.basicConfig(level=a.log_level.upper(), format="%(asctime)s %(levelname)s %(message)s")
    os.makedirs(a.state, mode=0o700, exist_ok=True)

    def read(name):
        with open(os.path.join(a.auth, name), "rb") as f:
            return f.read().strip()

    Handler.credentials = read("basic-auth-user") + b":" + read("basic-auth-password")
    Handler.store = Store(Engine(a.engine), a.state)
    Handler.jobs = queue.Queue()
    threading.Thread(target=work, args=(Handler.store, Handler.jobs), daemon=True).start()
    ThreadingHTTPServer.request_queue_size = 256
    ThreadingHTTPServer.daemon_threads = True
    provider = ThreadingHTTPServer(("127.0.0.1", a.provider_port), type("Provider", (Handler,), {"provider": True}))
    threading.Thread(target=provider.serve_forever, daemon=True).start()
    ThreadingHTTPServer(("127.0.0.1", a.port), Handler).serve_forever()


if __name__ == "__main__":
    main()

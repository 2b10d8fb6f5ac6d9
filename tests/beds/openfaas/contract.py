#!/usr/bin/env python3
"""Asks a gateway a fixed list of questions and prints the answers, one JSON line each, with what varies masked.

    contract.py URL PASSWORD_FILE [--provider URL] > answers.jsonl     (image: FAAS_REGISTRY/fn/echo, made from echo/)
    contract.py URL PASSWORD_FILE --bundle DIR > answers.jsonl         (the embedded platform: DIR/server.py is run there)
    contract.py --diff A.jsonl B.jsonl                                 (exit 1 when they differ in more than KNOWN)

answers-openfaas.jsonl holds what the OpenFaaS programs answered; a run against the stand-in shows where it is faithful.
"""
import argparse
import base64
import http.client
import http.server
import json
import os
import re
import sys
import threading
import time
import urllib.parse

REGISTRY = os.environ.get("FAAS_REGISTRY", "127.0.0.1:5000")
IMAGE = REGISTRY + "/fn/echo:latest"
SHOWN = ("content-type", "www-authenticate", "x-why", "x-function-name", "x-function-status")
PRESENT = ("x-call-id", "x-start-time", "x-duration-seconds", "x-served-by")
MASKS = [
    (re.compile(r'"createdAt":"[^"]+"'), '"createdAt":"T"'),
    (re.compile(r'"timestamp":"[^"]+"'), '"timestamp":"T"'),
    (re.compile(r"remove \S+/(ct-\w+): no such"), r"remove PATH/\1: no such"),
    (re.compile(r'"instance":"[^"]+"'), '"instance":"I"'),
    (re.compile(r'(X-Call-Id|X-Start-Time|X-Forwarded-For|X-Forwarded-Host|Host)": "[^"]+"'), r'\1": "V"'),
]
KNOWN = {
    "deploy, bad JSON": "the parser's own words",
    "deploy, no such image": "the engine's own words",
    "namespace create": "the real provider with containerd 1.6: 400, though the namespace is made; the stand-in: 201",
    "update, secret missing": "the real provider goes on after this error and breaks the running function; the stand-in stops",
}


class Bed:
    def __init__(self, url, password, provider, bundle=None):
        self.url, self.provider, self.bundle = url, provider, bundle
        self.auth = "Basic " + base64.b64encode(b"admin:" + password).decode()

    def ask(self, label, method, path, body=None, auth=True, base=None, **headers):
        u = urllib.parse.urlsplit(base or self.url)
        conn = http.client.HTTPConnection(u.netloc, timeout=120)
        headers = {k.replace("_", "-"): v for k, v in headers.items()}
        if auth:
            headers["Authorization"] = self.auth if auth is True else auth
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        conn.request(method, path, body, headers)
        r = conn.getresponse()
        raw = r.read()
        low = {k.lower(): v for k, v in r.getheaders()}
        text = raw.decode(errors="replace")
        for pattern, mask in MASKS:
            text = pattern.sub(mask, text)
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        if isinstance(value, list) and value and isinstance(value[0], dict):
            value = [v for v in value if v.get("name", "").startswith("ct-")]
        if isinstance(value, dict) and "headers" in value and "path" in value:
            value["headers"] = {k: v for k, v in sorted(value["headers"].items()) if k != "User-Agent"}
        row = {"ask": label, "status": r.status, "headers": {k: low[k] for k in SHOWN if k in low} | {k: "V" for k in PRESENT if k in low}, "body": value}
        print(json.dumps(row, sort_keys=True), flush=True)
        return r.status, raw


def callbacks():
    got = []

    class H(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            low = {k.lower(): v for k, v in self.headers.items()}
            got.append({"status": low.get("x-function-status"), "length": len(body), "path": self.path,
                        "headers": {k: low[k] for k in SHOWN if k in low} | {k: "V" for k in PRESENT if k in low}})
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *a):
            pass

    s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), H)
    threading.Thread(target=s.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{s.server_port}", got


def ready(bed, name):
    for _ in range(150):
        u = urllib.parse.urlsplit(bed.url)
        conn = http.client.HTTPConnection(u.netloc, timeout=60)
        conn.request("GET", f"/function/{name}/env/HOME")
        r = conn.getresponse()
        r.read()
        if r.status == 200:
            return
        time.sleep(0.2)
    sys.exit(f"{name} did not answer")


def run(bed):
    fns, secrets = "/system/functions", "/system/secrets"
    spec = {"service": "ct-echo", "image": IMAGE, "envVars": {"A": "1"}, "labels": {"team": "core"},
            "annotations": {"topic": "t"}, "secrets": ["ct-one"], "limits": {"memory": "64Mi"}}
    if bed.bundle:
        spec["bundle"] = {"dir": bed.bundle, "digest": "echo", "run": {"command": "python3 -u server.py"}}
    bed.ask("health", "GET", "/healthz", auth=False)
    bed.ask("health without a body", "HEAD", "/healthz", auth=False)
    for path in (fns, secrets, "/system/info", "/system/namespaces", "/system/logs?name=x", "/system/function/x"):
        bed.ask("no credentials " + path, "GET", path, auth=False)
    bed.ask("wrong password", "GET", fns, auth="Basic " + base64.b64encode(b"admin:no").decode())
    bed.ask("unknown path", "GET", "/system/nonsense")
    bed.ask("method not allowed", "PATCH", fns)

    bed.ask("delete an old secret", "DELETE", secrets, {"name": "ct-one"})
    bed.ask("deploy, secret missing", "POST", fns, spec)
    bed.ask("secret create", "POST", secrets, {"name": "ct-one", "value": "v1"})
    bed.ask("secret create again", "POST", secrets, {"name": "ct-one", "value": "v2"})
    bed.ask("secret without a name", "POST", secrets, {"value": "v"})
    bed.ask("secret that climbs out", "POST", secrets, {"name": "../x", "value": "v"})
    bed.ask("secret list", "GET", secrets)
    bed.ask("secret list, no such namespace", "GET", secrets + "?namespace=ct-none")

    bed.ask("update, no such function", "PUT", fns, spec)
    bed.ask("deploy", "POST", fns, spec)
    bed.ask("deploy again", "POST", fns, spec)
    bed.ask("deploy, bad JSON", "POST", fns, "{bad")
    bed.ask("deploy, no such image", "POST", fns, {"service": "ct-none", "image": REGISTRY + "/fn/none:latest"})
    bed.ask("deploy, bad name", "POST", fns, dict(spec, service="Bad_Name!"))
    bed.ask("deploy, no such namespace", "POST", fns, dict(spec, namespace="ct-none"))
    ready(bed, "ct-echo")
    bed.ask("describe", "GET", "/system/function/ct-echo")
    bed.ask("describe, no such function", "GET", "/system/function/ct-none")
    bed.ask("describe, no such namespace", "GET", "/system/function/ct-echo?namespace=ct-none")
    bed.ask("list, no such namespace", "GET", fns + "?namespace=ct-none")

    bed.ask("invoke", "POST", "/function/ct-echo", "hello", auth=False)
    bed.ask("invoke with path and query", "GET", "/function/ct-echo/a/b?c=d&e", auth=False)
    bed.ask("invoke, namespace in the name", "PUT", "/function/ct-echo.openfaas-fn/x", "y", auth=False)
    bed.ask("invoke, status and header kept", "GET", "/function/ct-echo/status/418", auth=False)
    bed.ask("invoke, status 500", "GET", "/function/ct-echo/status/500", auth=False)
    bed.ask("invoke, no such function", "POST", "/function/ct-none", "x", auth=False)
    bed.ask("invoke, no such namespace", "POST", "/function/ct-echo.ct-none", "x", auth=False)
    bed.ask("invoke, nothing named", "POST", "/function/", "x", auth=False)
    bed.ask("the secret inside", "GET", "/function/ct-echo/secret/ct-one", auth=False)
    bed.ask("the environment inside", "GET", "/function/ct-echo/env/A", auth=False)
    bed.ask("secret update", "PUT", secrets, {"name": "ct-one", "value": "v3"})
    bed.ask("the new secret inside", "GET", "/function/ct-echo/secret/ct-one", auth=False)

    url, got = callbacks()
    bed.ask("async", "POST", "/async-function/ct-echo/raw?q=1", "hello", auth=False, X_Callback_Url=url + "/a")
    bed.ask("async, no such function", "POST", "/async-function/ct-none", "x", auth=False, X_Callback_Url=url + "/b")
    bed.ask("async, status 418", "POST", "/async-function/ct-echo/status/418", "x", auth=False, X_Callback_Url=url + "/c")
    bed.ask("async with GET", "GET", "/async-function/ct-echo", auth=False)
    for _ in range(100):
        if len(got) == 3:
            break
        time.sleep(0.1)
    for row in sorted(got, key=lambda r: r["path"]):
        print(json.dumps({"ask": "callback", **row}, sort_keys=True))

    scale = "/system/scale-function/ct-echo"
    bed.ask("scale to 0 at the gateway", "POST", scale, {"serviceName": "ct-echo", "replicas": 0})
    bed.ask("scale to 3 at the gateway", "POST", scale, {"serviceName": "ct-echo", "replicas": 3})
    bed.ask("scale, no such function", "POST", "/system/scale-function/ct-none", {"serviceName": "ct-none", "replicas": 1})
    if bed.provider:
        bed.ask("scale to 0 at the provider", "POST", scale, {"serviceName": "ct-echo", "replicas": 0}, base=bed.provider)
        bed.ask("describe a sleeping function", "GET", "/system/function/ct-echo")
        bed.ask("invoke wakes it", "GET", "/function/ct-echo/env/A", auth=False)

    time.sleep(1)
    _, raw = bed.ask("logs, no such function", "GET", "/system/logs?name=ct-none&follow=false")
    u = urllib.parse.urlsplit(bed.url)
    for _ in range(20):  # the real provider now and then loses lines, all of them at times (README.md)
        conn = http.client.HTTPConnection(u.netloc, timeout=60)
        conn.request("GET", "/system/logs?name=ct-echo&follow=false&tail=1", headers={"Authorization": bed.auth})
        r = conn.getresponse()
        lines = r.read().splitlines()
        if lines:
            break
        time.sleep(0.2)
    first = json.loads(lines[0])
    print(json.dumps({"ask": "log line", "status": r.status, "body": sorted(first), "headers": r.getheader("Content-Type")}))

    bed.ask("namespace without the label", "POST", "/system/namespace/", {"name": "ct-ns"})
    bed.ask("namespace get, none such", "GET", "/system/namespace/ct-ns")
    bed.ask("namespace create", "POST", "/system/namespace/", {"name": "ct-ns", "labels": {"openfaas": "1", "a": "b"}})
    bed.ask("namespace create again", "POST", "/system/namespace/", {"name": "ct-ns", "labels": {"openfaas": "1"}})
    bed.ask("namespace get", "GET", "/system/namespace/ct-ns")
    bed.ask("namespace list", "GET", "/system/namespaces")
    bed.ask("namespace remove", "DELETE", "/system/namespace/ct-ns", {"name": "ct-ns", "labels": {"openfaas": "1"}})
    bed.ask("namespace get, removed", "GET", "/system/namespace/ct-ns")

    bed.ask("update, secret missing", "PUT", fns, dict(spec, secrets=["ct-two"]))
    bed.ask("update", "PUT", fns, dict(spec, envVars={"A": "2"}))
    ready(bed, "ct-echo")
    bed.ask("the new environment inside", "GET", "/function/ct-echo/env/A", auth=False)
    bed.ask("remove", "DELETE", fns, {"functionName": "ct-echo"})
    bed.ask("remove again", "DELETE", fns, {"functionName": "ct-echo"})
    bed.ask("remove, nothing named", "DELETE", fns, {})
    bed.ask("secret remove", "DELETE", secrets, {"name": "ct-one"})
    bed.ask("secret remove again", "DELETE", secrets, {"name": "ct-one"})
    bed.ask("secret update, none such", "PUT", secrets, {"name": "ct-one", "value": "x"})
    bed.ask("clean up", "DELETE", secrets, {"name": "ct-one"})


def diff(a, b):
    def read(path):
        with open(path) as f:
            return [json.loads(line) for line in f]
    left, right, bad, known = read(a), read(b), 0, 0
    for x, y in zip(left, right):
        if x == y:
            continue
        if x["ask"] in KNOWN and x["ask"] == y["ask"]:
            known += 1
            continue
        bad += 1
        print(f"{x['ask']}:\n  - {json.dumps(x)[:400]}\n  + {json.dumps(y)[:400]}")
    print(f"{len(left)} and {len(right)} answers, {bad} differ, {known} more in a known way")
    return bad or len(left) != len(right)


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    p.add_argument("--diff", action="store_true")
    p.add_argument("--provider")
    p.add_argument("--bundle")
    p.add_argument("one")
    p.add_argument("two")
    args = p.parse_args()
    if args.diff:
        sys.exit(1 if diff(args.one, args.two) else 0)
    with open(args.two, "rb") as f:
        run(Bed(args.one, f.read().strip(), args.provider, args.bundle))

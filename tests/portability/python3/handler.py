import os
import time


def handle(event, context):
    path = event.path
    if path == "/echo":
        return {"headers": {"Content-Type": event.headers.get("content-type", "none")}, "body": event.body}
    if path == "/inspect" or path.startswith("/inspect/"):
        return {"body": {
            "method": event.method, "path": path, "query": event.query,
            "two": event.headers.get("x-two", ""), "cookie": event.headers.get("cookie", ""),
        }}
    if path == "/status":
        return {"statusCode": int(event.query["code"]), "body": "status " + event.query["code"]}
    if path == "/answer":
        answer = {"headers": {event.query.get("name", "X-Value"): event.query.get("value")}, "body": "b"}
        return {**answer, "statusCode": int(event.query["status"])} if "status" in event.query else answer
    if path == "/redirect":
        return {"statusCode": 302, "headers": {"Location": "/elsewhere"}}
    if path == "/cookies":
        return {"headers": {"Set-Cookie": ["a=1; Path=/", "b=2"]}, "body": "set"}
    if path == "/json":
        return {"body": {"tax": 4.7, "of": ["grüß", None, True]}}
    if path == "/text":
        return {"body": "grüß"}
    if path == "/stream":
        return {"body": stream()}
    if path == "/error":
        raise ValueError("no subtotal")
    if path == "/slow":
        time.sleep(0.5)
        return {"body": "slow"}
    if path == "/environment":
        return {"body": os.environ.get("PROBE", "none")}
    if path == "/secret":
        with open(os.environ.get("FAAS_SECRETS_DIR", "/var/openfaas/secrets") + "/portability-key") as secret:
            return {"body": secret.read()}
    return {"statusCode": 404, "body": "no such path"}


def stream():
    for word in ("one\n", "two\n", "three\n"):
        yield word
        time.sleep(0.3)

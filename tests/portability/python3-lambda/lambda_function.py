import base64
import json
import os
import time
from urllib.parse import unquote

TEXT = {"Content-Type": "text/plain; charset=utf-8"}


def lambda_handler(event, context):
    path, headers = unquote(event["rawPath"]), event["headers"]
    if path == "/echo":
        reply = {"statusCode": 200, "body": event["body"], "isBase64Encoded": event["isBase64Encoded"]}
        return {**reply, "headers": {"Content-Type": headers.get("content-type", "none")}}
    if path.startswith("/inspect"):
        return {
            "method": event["requestContext"]["http"]["method"], "path": path, "query": event.get("queryStringParameters", {}),
            "two": headers.get("x-two", ""), "cookie": "; ".join(event.get("cookies", [])),
        }
    if path == "/status":
        code = event["queryStringParameters"]["code"]
        return {"statusCode": int(code), "headers": TEXT, "body": "status " + code}
    if path == "/redirect":
        return {"statusCode": 302, "headers": {"Location": "/elsewhere"}}
    if path == "/cookies":
        return {"statusCode": 200, "cookies": ["a=1; Path=/", "b=2"], "body": "set"}
    if path == "/json":
        return {"tax": 4.7, "of": ["grüß", None, True]}
    if path == "/text":
        return {"statusCode": 200, "headers": TEXT, "body": base64.b64encode("grüß".encode()).decode(), "isBase64Encoded": True}
    if path == "/error":
        raise ValueError("no subtotal")
    if path == "/slow":
        time.sleep(0.5)
        assert context.get_remaining_time_in_millis() > 0
        return {"statusCode": 200, "body": "slow"}
    if path == "/environment":
        return {"statusCode": 200, "body": os.environ.get("PROBE", "none")}
    if path == "/secret":
        with open(os.environ.get("FAAS_SECRETS_DIR", "/var/openfaas/secrets") + "/portability-key") as secret:
            return {"statusCode": 200, "body": secret.read()}
    return {"statusCode": 404, "body": "no such path"}

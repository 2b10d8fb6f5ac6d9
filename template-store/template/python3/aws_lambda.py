"""Handlers of AWS Lambda, handler(event, context), called as Lambda does; imported when the function has one."""
import json
import os
import socket
import time
from base64 import b64decode, b64encode
from urllib.parse import parse_qsl

JSON = "application/json"
# Header fields that stand elsewhere in an event, or in none.
OURS = ("cookie", "lambda-runtime-deadline-ms")


class Context:
    """What AWS Lambda gives a handler besides the event."""

    function_version = "$LATEST"
    identity = client_context = None

    def __init__(self, headers):
        env = os.environ.get
        name = env("AWS_LAMBDA_FUNCTION_NAME") or env("OPENFAAS_NAME") or env("K_SERVICE") or socket.gethostname()
        region = env("AWS_REGION", "local")
        self.function_name = name
        self.invoked_function_arn = f"arn:aws:lambda:{region}:000000000000:function:{name}"
        self.memory_limit_in_mb = env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
        self.aws_request_id = headers.get("x-call-id", "")
        self.log_group_name = env("AWS_LAMBDA_LOG_GROUP_NAME", f"/aws/lambda/{name}")
        self.log_stream_name = env("AWS_LAMBDA_LOG_STREAM_NAME", socket.gethostname())
        until = headers.get("lambda-runtime-deadline-ms", "")
        self._until = int(until) if until.isdigit() else (time.time() + float(env("AWS_LAMBDA_FUNCTION_TIMEOUT", "30"))) * 1000

    def get_remaining_time_in_millis(self):
        """Until the deadline that Lambda gave, or of what the invoker says in AWS_LAMBDA_FUNCTION_TIMEOUT, in seconds."""
        return max(0, int(self._until - time.time() * 1000))


def bare(host):
    """A name or an address without its port, the first of a list."""
    host = host.split(",")[0].strip()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0] if host.count(":") == 1 else host


def request_context(event, name):
    """What a function URL would tell of the request."""
    headers, now = event.headers, time.time()
    domain = bare(headers.get("x-forwarded-host") or headers.get("host", "localhost"))
    return {
        "accountId": "000000000000", "apiId": name, "domainName": domain, "domainPrefix": domain.partition(".")[0],
        "http": {"method": event.method, "path": event.path, "protocol": "HTTP/1.1",
                 "sourceIp": bare(headers.get("x-forwarded-for", "127.0.0.1")), "userAgent": headers.get("user-agent", "")},
        "requestId": headers.get("x-call-id", ""), "routeKey": "$default", "stage": "$default",
        "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)), "timeEpoch": int(now * 1000),
    }


def event_of(event, name):
    """A request as Lambda's function URLs and HTTP APIs hand it over (payload 2.0), and beside that, where the body is
    an object of JSON, its fields: so a handler of either kind finds what it looks for."""
    try:
        body, encoded = event.body.decode(), False
    except UnicodeDecodeError:
        body, encoded = b64encode(event.body).decode(), True
    cookies = event.headers.get("cookie")
    fields = {}
    if not encoded and body.lstrip().startswith("{"):
        try:
            fields = json.loads(body)
        except ValueError:
            pass
    given = event.headers.get("x-amzn-request-context")
    context = json.loads(given) if given else request_context(event, name)
    fields.update({"version": "2.0", "routeKey": "$default", "rawPath": event.raw_path, "rawQueryString": event.raw_query,
                  "headers": {name: value for name, value in event.headers.items() if name not in OURS},
                  "requestContext": context, "body": body, "isBase64Encoded": encoded})
    if cookies:
        fields["cookies"] = cookies.split("; ")
    if event.raw_query:
        query = {}
        for name, value in parse_qsl(event.raw_query, keep_blank_values=True):
            query[name] = f"{query[name]},{value}" if name in query else value
        fields["queryStringParameters"] = query
    return fields


def reply_of(result):
    """Status, header fields and body of what a handler of Lambda returned, as function URLs read it."""
    if not isinstance(result, dict) or "statusCode" not in result:
        body = result if isinstance(result, str) else json.dumps(result)
        return 200, [("Content-Type", JSON)], body.encode("utf-8", "surrogateescape")
    fields = [(str(name), value) for name, value in (result.get("headers") or {}).items()]
    for name, values in (result.get("multiValueHeaders") or {}).items():
        fields = [field for field in fields if field[0].lower() != name.lower()] + [(name, value) for value in values]
    fields += [("Set-Cookie", cookie) for cookie in result.get("cookies") or ()]
    fields = [field for field in fields if field[1] is not None]
    body = result.get("body")
    if body is None:
        body = b""
    elif result.get("isBase64Encoded"):
        body = b64decode(body)
    else:
        body = (body if isinstance(body, str) else json.dumps(body)).encode("utf-8", "surrogateescape")
    if not any(name.lower() == "content-type" for name, _ in fields):
        fields.append(("Content-Type", JSON))
    return result["statusCode"], fields, body


def adapted(handler):
    """A function from Event to (status, fields, body) that calls handler(event, context) as AWS Lambda does."""
    def call(event):
        context = Context(event.headers)
        if event.headers.get("x-faas-event") != "raw":
            return reply_of(handler(event_of(event, context.function_name), context))
        # No HTTP call: the event and the answer are JSON, as they are.
        result = handler(json.loads(event.body or b"{}"), context)
        return 200, [("Content-Type", JSON)], json.dumps(result).encode()

    return call

import os
import time

from flask import Flask, Response, jsonify, redirect, request

app = Flask(__name__)
ALL = ["GET", "POST", "PUT", "PATCH", "DELETE"]


@app.route("/echo", methods=ALL)
def echo():
    return Response(request.get_data(), content_type=request.headers.get("Content-Type", "none"))


@app.route("/inspect", methods=ALL, defaults={"rest": ""})
@app.route("/inspect/<path:rest>", methods=ALL)
def inspect(rest):
    return jsonify(
        method=request.method, path=request.path, query=request.args.to_dict(),
        two=request.headers.get("X-Two", ""), cookie=request.headers.get("Cookie", ""),
    )


@app.route("/status", methods=ALL)
def status():
    return text("status " + request.args["code"], int(request.args["code"]))


@app.route("/redirect", methods=ALL)
def elsewhere():
    return redirect("/elsewhere")


@app.route("/cookies", methods=ALL)
def cookies():
    answer = text("set")
    answer.headers.add("Set-Cookie", "a=1; Path=/")
    answer.headers.add("Set-Cookie", "b=2")
    return answer


@app.route("/json", methods=ALL)
def data():
    return jsonify(tax=4.7, of=["grüß", None, True])


@app.route("/text", methods=ALL)
def plain():
    return text("grüß")


@app.route("/stream", methods=ALL)
def stream():
    def words():
        for word in ("one\n", "two\n", "three\n"):
            yield word
            time.sleep(0.3)

    return Response(words(), content_type="text/plain; charset=utf-8")


@app.route("/error", methods=ALL)
def error():
    raise ValueError("no subtotal")


@app.route("/slow", methods=ALL)
def slow():
    time.sleep(0.5)
    return text("slow")


@app.route("/environment", methods=ALL)
def environment():
    return text(os.environ.get("PROBE", "none"))


@app.route("/secret", methods=ALL)
def secret():
    with open(os.environ.get("FAAS_SECRETS_DIR", "/var/openfaas/secrets") + "/portability-key") as file:
        return text(file.read())


def text(body, status=200):
    return Response(body, status=status, content_type="text/plain; charset=utf-8")

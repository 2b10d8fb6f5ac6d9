"""The seeds' post_message as it is on Knative."""
import os

import requests
from flask import Flask, jsonify, request

app = Flask(__name__)


@app.route("/", methods=["POST"])
def post_message():
    with open(os.environ.get("FAAS_SECRETS_DIR", "/var/openfaas/secrets") + "/webhook-url") as secret:
        url = secret.read().strip()
    message = request.get_json()
    reply = requests.post(url, data=f"{message['title']}\n{message['txt']}".encode(), timeout=10)
    return jsonify(posted=reply.status_code)

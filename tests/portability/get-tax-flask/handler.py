"""The seeds' get_tax as it is on Knative."""
from flask import Flask, jsonify, request

app = Flask(__name__)


@app.route("/", methods=["POST"])
def get_tax():
    return jsonify(tax=round(request.get_json()["subtotal"] * 0.047, 10))

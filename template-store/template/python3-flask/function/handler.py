from flask import Flask, request

app = Flask(__name__)


@app.post("/")
def index():
    """Answers a request."""
    return request.get_data(as_text=True), {"Content-Type": "text/plain; charset=utf-8"}

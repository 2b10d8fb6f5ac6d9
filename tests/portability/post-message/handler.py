"""Posts a message to a webhook: title, newline, text."""
import json
import os

import requests


def handle(req):
    """Take {"title": STR, "txt": STR} as text; the webhook's address is the secret `webhook-url`."""
    message = json.loads(req)
    folder = os.environ.get("FAAS_SECRETS_DIR", "/var/openfaas/secrets")
    with open(os.path.join(folder, "webhook-url"), encoding="utf-8") as secret:
        url = secret.read().strip()
    reply = requests.post(url, data=f"{message['title']}\n{message['txt']}".encode(), timeout=10)
    reply.raise_for_status()
    return {"posted": reply.status_code}

"""The seeds' post_message as it is on AWS Lambda."""
import os

import requests


def main(event, context):
    with open(os.environ.get("FAAS_SECRETS_DIR", "/var/openfaas/secrets") + "/webhook-url") as secret:
        url = secret.read().strip()
    reply = requests.post(url, data=f"{event['title']}\n{event['txt']}".encode(), timeout=10)
    return {"statusCode": 200, "body": {"posted": reply.status_code}}

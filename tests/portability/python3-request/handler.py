import os
import time


def handle(req):
    if req == "/json":
        return {"tax": 4.7, "of": ["grüß", None, True]}
    if req == "/text":
        print("grüß", end="")
    elif req == "/error":
        raise ValueError("no subtotal")
    elif req == "/slow":
        time.sleep(0.5)
        return "slow"
    elif req == "/environment":
        return os.environ.get("PROBE", "none")
    elif req == "/secret":
        with open(os.environ.get("FAAS_SECRETS_DIR", "/var/openfaas/secrets") + "/portability-key") as secret:
            return secret.read()
    else:
        return req

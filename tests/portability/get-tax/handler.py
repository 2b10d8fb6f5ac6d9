"""Tax of a subtotal: 4.7 percent."""
import json

RATE = 0.047


def handle(req):
    """Take {"subtotal": INT} as text and print {"tax": ...}."""
    order = json.loads(req)
    print(json.dumps({"tax": round(order["subtotal"] * RATE, 10)}))

import json


def lambda_handler(event, context):
    """A handler of AWS Lambda, as it is, on every platform.

    event: that of a function URL (payload 2.0); the fields of a JSON body are in it too.
    """
    name = event.get("name", "you")
    return {"statusCode": 200, "body": json.dumps({"hello": name})}

def handle(event, context):
    """Answers a request.

    event: body (bytes), headers, method, query, path. What is returned is the answer; the body is text, bytes, or
    anything that JSON can hold.
    """
    return {"statusCode": 200, "body": event.text()}

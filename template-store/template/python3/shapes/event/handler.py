def handle(event, context):
    """Answers a request.

    event: body (bytes), text(), json(), headers, method, query, path. context: function_name, hostname.
    """
    name = event.query.get("name", "you")
    return {"statusCode": 200, "body": {"hello": name, "you_sent": event.text()}}

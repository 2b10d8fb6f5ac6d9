def handle(req):
    """Answers a request.

    req: the body, as text. What is returned (text, bytes, or anything that JSON can hold) is the answer.
    """
    return req

import json
import unittest

from function.handler import lambda_handler


class Handler(unittest.TestCase):
    def test_it_greets_by_name(self):
        answer = lambda_handler({"name": "Ada"}, None)
        self.assertEqual(json.loads(answer["body"]), {"hello": "Ada"})

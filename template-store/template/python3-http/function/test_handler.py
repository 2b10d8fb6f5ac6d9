import unittest
from types import SimpleNamespace

from function.handler import handle


class Handle(unittest.TestCase):
    def test_it_answers_what_it_is_sent(self):
        event = SimpleNamespace(text=lambda: "hello")
        self.assertEqual(handle(event, None), {"statusCode": 200, "body": "hello"})

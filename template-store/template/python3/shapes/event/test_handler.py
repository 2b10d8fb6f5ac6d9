import unittest
from types import SimpleNamespace

from function.handler import handle


class Handle(unittest.TestCase):
    def test_it_greets_by_name(self):
        event = SimpleNamespace(query={"name": "Ada"}, text=lambda: "hello")
        answer = handle(event, SimpleNamespace(function_name="test", hostname="here"))
        self.assertEqual(answer["body"], {"hello": "Ada", "you_sent": "hello"})

import unittest

from function.handler import handle


class Handle(unittest.TestCase):
    def test_it_answers_what_it_is_sent(self):
        self.assertEqual(handle("hello"), "hello")

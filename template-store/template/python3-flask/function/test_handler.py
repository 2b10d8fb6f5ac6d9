import unittest

from function.handler import app


class Index(unittest.TestCase):
    def test_it_answers_what_it_is_sent(self):
        self.assertEqual(app.test_client().post("/", data="hello").get_data(as_text=True), "hello")

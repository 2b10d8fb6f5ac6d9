import threading
import unittest
from http.server import ThreadingHTTPServer
from urllib.request import urlopen

from function.handler import Handler


class Server(unittest.TestCase):
    def test_it_answers_what_it_is_sent(self):
        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            with urlopen(f"http://127.0.0.1:{server.server_port}/", data=b"hello") as answer:
                self.assertEqual(answer.read(), b"hello")
            server.shutdown()

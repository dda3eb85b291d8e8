"""A server that takes webhooks: checks signatures, forgets repeats, answers at once.

    WEBHOOK_SECRET=whsec_... python webhook_receiver.py 8080

Standard library only. Put a web server with TLS in front of it.
"""

import base64
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOLERANCE_S = 300
BODY_MAX = 1_000_000
_secret = base64.b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"))
_seen: set[str] = set()  # A real shop keeps the ids in its database, with what it did about them.


def is_genuine(headers: dict[str, str], body: bytes) -> bool:
    """Say whether a message has our secret's signature and is not an old one sent again."""
    message_id = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    age = abs(time.time() - int(timestamp)) if timestamp.isdecimal() else TOLERANCE_S + 1  # noqa: TID251
    if age > TOLERANCE_S:
        return False
    content = f"{message_id}.{timestamp}.".encode() + body
    expected = b"v1," + base64.b64encode(hmac.digest(_secret, content, "sha256"))
    offered = headers.get("webhook-signature", "").encode().split(b" ")
    # While a secret is replaced there are two signatures, and one of them is ours.
    return any(hmac.compare_digest(expected, signature) for signature in offered)


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        size = int(self.headers.get("content-length", "0"))
        if size > BODY_MAX:
            return self.answer(413)
        body = self.rfile.read(size)
        headers = {name.lower(): value for name, value in self.headers.items()}
        if not is_genuine(headers, body):
            return self.answer(400)
        if headers["webhook-id"] not in _seen:
            _seen.add(headers["webhook-id"])
            message = json.loads(body)
            print(message["type"], json.dumps(message["data"]), flush=True)
        return self.answer(204)

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver) as server:
        print(f"http://127.0.0.1:{server.server_port}/", flush=True)
        server.serve_forever()

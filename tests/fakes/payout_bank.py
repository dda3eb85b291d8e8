"""A bank in a process of its own that pays orders, keeps count of what it did, and misbehaves.

Run as ``python -m tests.fakes.payout_bank PORT_FILE``. The last digit of an order's amount says how
it behaves: 0 accepts and pays after two questions, 1 accepts and refuses, 2 pays at once, 3 pays
and loses its first answer, 4 is unavailable twice and then pays, 5 never answers, 6 accepts for
ever. It does not know idempotency keys: an order that is sent twice is paid twice, unless it was
started with ``--idempotent``.
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Bank:
    def __init__(self, *, idempotent: bool) -> None:
        self.lock = threading.Lock()
        self.idempotent = idempotent
        self.orders: dict[str, dict[str, Any]] = {}
        self.tries: dict[str, int] = {}

    def take(self, order: dict[str, Any]) -> tuple[int, object, bool]:
        """Return status, answer, and whether the answer is lost on the way."""
        with self.lock:
            id_, how = order["id"], order["amount"] % 10
            self.tries[id_] = self.tries.get(id_, 0) + 1
            if how == 5 or (how == 4 and self.tries[id_] <= 2):
                return 503, {}, False
            known = self.orders.get(id_)
            if known is not None and self.idempotent:
                assert known["order"] == order, "one id, two orders"
                return 200, self.answer(known), False
            if known is not None:
                known["effects"] += 1
                return 200, self.answer(known), False
            status = "paid" if how in {2, 3, 4} else "accepted"
            self.orders[id_] = {"order": order, "effects": 1, "status": status, "asked": 0}
            return 200, self.answer(self.orders[id_]), how == 3

    def look_up(self, id_: str) -> tuple[int, object]:
        with self.lock:
            known = self.orders.get(id_)
            if known is None:
                return 404, {}
            how = known["order"]["amount"] % 10
            if how == 5:
                return 503, {}
            known["asked"] += 1
            if how == 0 and known["asked"] >= 2:
                known["status"] = "paid"
            if how == 1:
                known["status"] = "refused"
            return 200, self.answer(known)

    def decide(self, id_: str, status: str) -> None:
        with self.lock:
            self.orders[id_]["status"] = status

    @staticmethod
    def answer(known: dict[str, Any]) -> dict[str, Any]:
        return {
            "status": known["status"],
            "external_id": f"BANK-{known['order']['id'][-12:]}",
            "reason": "account_closed" if known["status"] == "refused" else None,
        }


def main() -> None:
    bank = Bank(idempotent="--idempotent" in sys.argv)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == "/decide":
                bank.decide(body["id"], body["status"])
                self.answer(200, {})
                return
            status, answer, lost = bank.take(body)
            if lost:
                self.close_connection = True
                return
            self.answer(status, answer)

        def do_GET(self) -> None:
            if self.path == "/orders":
                with bank.lock:
                    self.answer(200, bank.orders)
                return
            self.answer(*bank.look_up(self.path.rpartition("/")[2]))

        def answer(self, status: int, answer: object) -> None:
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    path = Path(sys.argv[1])
    partial = path.with_suffix(".partial")
    partial.write_text(str(server.server_address[1]))
    partial.replace(path)
    server.serve_forever()


if __name__ == "__main__":
    main()

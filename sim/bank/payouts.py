"""Payment orders as the bank sees them: each id once, and what its mode makes of it."""

import json
from typing import Any

from sim.bank.store import Json, Store, now_ms

MODES = ("immediate", "delayed", "refused", "duplicate", "lost_answer", "stuck")
"""``delayed`` pays after a while and tells; ``duplicate`` pays and tells twice; ``lost_answer``
pays and cuts the answer; ``stuck`` stays accepted until the control interface settles it."""


class Payouts:
    def __init__(self, store: Store) -> None:
        self._store = store

    def order(self, order: Json, *, file: str | None = None) -> tuple[int, Json, bool]:
        """Take an order; return status, answer, and whether the answer gets lost."""
        body = json.dumps(order, sort_keys=True)
        with self._store.change():
            known = self._store.row("SELECT * FROM payout WHERE id = ?", order["id"])
            if known is not None:
                if known["body"] != body:
                    return 409, {"code": "idempotency_conflict"}, False
                return 200, state_of(known), False
            mode = self._next_mode()
            self._store.do(
                "INSERT INTO payout (id, body, state, mode, due_ms, file, came_in_ms) "
                "VALUES (?, ?, 'accepted', ?, ?, ?, ?)",
                order["id"],
                body,
                mode,
                now_ms() + int(self._store.setting("delay_ms", "200"))
                if mode == "delayed"
                else None,
                file,
                now_ms(),
            )
            if mode == "refused":
                self._end(order["id"], "refused", self._store.setting("reason", "account_closed"))
            elif mode in {"immediate", "duplicate", "lost_answer"}:
                self._end(order["id"], "paid", None)
            if mode == "duplicate":
                self._tell(order["id"], times=2)
            made = self._store.row("SELECT * FROM payout WHERE id = ?", order["id"])
            assert made is not None
        return 200, state_of(made), mode == "lost_answer"

    def find(self, order_id: str) -> tuple[int, Json]:
        known = self._store.row("SELECT * FROM payout WHERE id = ?", order_id)
        return (404, {"code": "payout_unknown"}) if known is None else (200, state_of(known))

    def settle(self, order_id: str, state: str, reason: str | None) -> tuple[int, Json]:
        """Pay or refuse an order that was only accepted, and tell of it."""
        with self._store.change():
            known = self._store.row("SELECT * FROM payout WHERE id = ?", order_id)
            if known is None or known["state"] != "accepted":
                return 409, {"code": "not_open"}
            self._end(order_id, state, reason)
            self._tell(order_id)
        return self.find(order_id)

    def send_back(self, order_id: str, reason: str) -> tuple[int, Json]:
        """Let a payment that was made come back, and tell of it."""
        with self._store.change():
            known = self._store.row("SELECT * FROM payout WHERE id = ?", order_id)
            if known is None or known["state"] != "paid":
                return 409, {"code": "not_paid"}
            order = json.loads(known["body"])
            transaction = self._store.book(
                order["currency"],
                order["amount"],
                text=f"RETURN {reason}",
                end_to_end=_hex(order_id),
                is_return=True,
            )
            self._store.do("UPDATE payout SET state = 'returned' WHERE id = ?", order_id)
            self._store.announce(
                {
                    "type": "payout",
                    "payout_id": order_id,
                    "status": "returned",
                    "transaction_id": transaction,
                    "reason": reason,
                }
            )
        return 200, {"transaction_id": transaction}

    def pay_due(self) -> None:
        for row in self._store.rows(
            "SELECT id FROM payout WHERE state = 'accepted' AND due_ms <= ?", now_ms()
        ):
            self.settle(row["id"], "paid", None)

    def _end(self, order_id: str, state: str, reason: str | None) -> None:
        known = self._store.row("SELECT * FROM payout WHERE id = ?", order_id)
        assert known is not None
        order = json.loads(known["body"])
        transaction = None
        if state == "paid":
            transaction = self._store.book(
                order["currency"],
                -order["amount"],
                text=order["reference"],
                end_to_end=_hex(order_id),
            )
        self._store.do(
            "UPDATE payout SET state = ?, transaction_id = ?, reason = ? WHERE id = ?",
            state,
            transaction,
            reason,
            order_id,
        )

    def _tell(self, order_id: str, *, times: int = 1) -> None:
        known = self._store.row("SELECT * FROM payout WHERE id = ?", order_id)
        assert known is not None
        facts = {
            "type": "payout",
            "payout_id": order_id,
            "status": known["state"],
            "transaction_id": known["transaction_id"],
            "reason": known["reason"],
        }
        self._store.announce(facts, times=times)

    def _next_mode(self) -> str:
        queued: list[str] = json.loads(self._store.setting("modes", "[]"))
        if queued:
            self._store.set("modes", json.dumps(queued[1:]))
            return queued[0]
        return self._store.setting("mode", "immediate")


def state_of(row: Json) -> Json:
    order: dict[str, Any] = json.loads(row["body"])
    return {
        "id": row["id"],
        # To whoever ordered it, a payment that came back was paid; the return is told apart.
        "status": "paid" if row["state"] == "returned" else row["state"],
        "amount": order["amount"],
        "currency": order["currency"],
        "transaction_id": row["transaction_id"],
        "reason": row["reason"],
    }


def _hex(order_id: str) -> str:
    return order_id.replace("-", "")

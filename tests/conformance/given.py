"""Reading the input of a conformance case."""

from typing import Any

from offline_protocol import KeySet, Payment, TrustContext, unseal

Json = Any
Given = dict[str, Json]


def raw(given: Given, name: str) -> bytes:
    return bytes.fromhex(given[name])


def read_payment(given: Given) -> Payment:
    payment = Payment.decode(raw(given, "payment"))
    assert payment.encode() == raw(given, "payment"), "writing gives other bytes"
    return payment


def key_set(given: Given) -> KeySet:
    """The key set, which the case takes for granted: its signature is not looked at."""
    return unseal(KeySet, raw(given, "key_set")).body


def context(given: Given) -> TrustContext:
    revoked = frozenset(map(bytes.fromhex, given["revoked"]))
    return TrustContext(key_set(given), given["now"], given["floor"], revoked)


def sums(amounts: dict[str, str]) -> dict[str, int]:
    return {account: int(amount) for account, amount in amounts.items()}

"""Checking a proof of liabilities: is my money part of what the operator says that it owes?

Needs two files and no server: the proof, which the user gets for themselves (GET
/v1/liabilities/proof), and the root, which everybody gets (GET /v1/liabilities). The root should
come from somewhere else than the proof, or be compared with what others got: an operator who shows
everybody another root proves nothing.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final
from uuid import UUID

from offline_protocol.errors import ProtocolError
from offline_protocol.keys import PublicKey

_CONTEXT: Final = b"tallystick/liabilities/1"
_SUM_LIMIT: Final = 1 << 127
_BALANCE_LIMIT: Final = 1 << 63
_LEAVES_LIMIT: Final = 1 << 40
_EPOCH_DAY: Final = 719_163
"""Day number of 1970-01-01 in the proleptic Gregorian calendar that `datetime.date` counts."""


class ProofBroken(Exception):
    """The proof does not show what it says; the text says where it fails."""


@dataclass(frozen=True, slots=True)
class PublishedRoot:
    """What the operator says about one currency."""

    tenant: int
    number: int
    currency: str
    day: int
    day_hash: bytes
    leaves: int
    total: int
    root: bytes
    below_zero: int
    below_zero_sum: int
    at_us: int
    public_key: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Included:
    """What a good proof shows: this user's balance is part of the published total."""

    user: UUID
    currency: str
    balance: int
    total: int
    leaves: int
    public_key: bytes


def read_root(text: str) -> PublishedRoot:
    """Read a published root and check its signature by the key that it names.

    Raises:
        ProofBroken: it is no such document, out of range, or not signed by that key.
    """
    document = _document(text)
    root = PublishedRoot(
        tenant=_whole(document, "tenant", 1, 1 << 31),
        number=_whole(document, "round", 1, 1 << 62),
        currency=_currency(document),
        day=_day(document),
        day_hash=_hex(document, "day_hash", 32),
        leaves=_whole(document, "leaves", 1, _LEAVES_LIMIT),
        total=_number(document, "total", 0, _SUM_LIMIT),
        root=_hex(document, "root", 32),
        below_zero=_whole(document, "below_zero", 0, _LEAVES_LIMIT),
        below_zero_sum=_number(document, "below_zero_sum", -_BALANCE_LIMIT + 1, 1),
        at_us=_whole(document, "at_us", 0, 1 << 62),
        public_key=_hex(document, "public_key", None),
        signature=_hex(document, "signature", 64),
    )
    if (root.below_zero == 0) != (root.below_zero_sum == 0):
        raise ProofBroken("The accounts below zero and their sum contradict each other.")
    try:
        PublicKey(root.public_key).verify(_signed(root), root.signature)
    except ProtocolError as error:
        raise ProofBroken("The root's signature is not good.") from error
    return root


def check_proof(text: str, root: PublishedRoot) -> Included:
    """Follow a proof from the user's leaf to the published root.

    Raises:
        ProofBroken: it leads elsewhere, has another length, or holds an impossible sum.
    """
    document = _document(text)
    if document.get("round") != root.number or _currency(document) != root.currency:
        raise ProofBroken("The proof is for another round or another currency than the root.")
    user = _user(document)
    balance = _number(document, "balance", 0, _BALANCE_LIMIT)
    place = _whole(document, "place", 0, root.leaves)
    salt = _hex(document, "salt", 32)
    total, digest = balance, _sha256(b"\x00" + salt + user.bytes + _sum(balance))
    path, size = _path(document), root.leaves
    steps = iter(path)
    while size > 1:
        has_sibling = place ^ 1 < size
        if has_sibling:
            other_total, other = next(steps, (-1, b""))
            if other_total < 0:
                raise ProofBroken("The path is too short for a tree of this size.")
            mine, theirs = _sum(total) + digest, _sum(other_total) + other
            digest = _sha256(b"\x01" + (theirs + mine if place & 1 else mine + theirs))
            total += other_total
            if total >= _SUM_LIMIT:
                raise ProofBroken("A sum on the path is out of range.")
        place, size = place >> 1, (size + 1) >> 1
    if next(steps, None) is not None:
        raise ProofBroken("The path is too long for a tree of this size.")
    if digest != root.root:
        raise ProofBroken("The path does not lead to the published root.")
    if total != root.total:
        raise ProofBroken("The path leads to another sum than the published total.")
    return Included(user, root.currency, balance, root.total, root.leaves, root.public_key)


def _signed(root: PublishedRoot) -> bytes:
    def whole(value: int) -> bytes:
        return b"\x01" + value.to_bytes(8, "big", signed=True)

    def data(value: bytes, tag: bytes = b"\x03") -> bytes:
        return tag + len(value).to_bytes(4, "big") + value

    return b"".join(
        (
            _CONTEXT,
            whole(root.tenant),
            whole(root.number),
            data(root.currency.encode(), b"\x02"),
            whole(root.day),
            data(root.day_hash),
            whole(root.leaves),
            data(_sum(root.total)),
            data(root.root),
            whole(root.below_zero),
            whole(root.below_zero_sum),
            whole(root.at_us),
        )
    )


def _sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def _sum(total: int) -> bytes:
    return total.to_bytes(16, "big")


def _document(text: str) -> Mapping[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProofBroken("The file is not JSON.") from error
    if not isinstance(document, dict):
        raise ProofBroken("The file holds no JSON object.")
    return document


def _whole(document: Mapping[str, Any], name: str, low: int, limit: int) -> int:
    value = document.get(name)
    if type(value) is not int or not low <= value < limit:
        raise ProofBroken(f"{name} is no number in range.")
    return value


def _number(document: Mapping[str, Any], name: str, low: int, limit: int) -> int:
    """Read a number that is written as text, since not every reader of JSON keeps 128 bits."""
    value = document.get(name)
    if not isinstance(value, str) or not re.fullmatch(r"0|-?[1-9][0-9]{0,38}", value):
        raise ProofBroken(f"{name} is no number as text.")
    if not low <= (number := int(value)) < limit:
        raise ProofBroken(f"{name} is out of range.")
    return number


def _hex(document: Mapping[str, Any], name: str, size: int | None) -> bytes:
    value = document.get(name)
    if not isinstance(value, str) or not re.fullmatch(r"(?:[0-9a-f]{2})*", value):
        raise ProofBroken(f"{name} is not in hexadecimal digits.")
    data = bytes.fromhex(value)
    if size is not None and len(data) != size:
        raise ProofBroken(f"{name} does not have {size} bytes.")
    return data


def _currency(document: Mapping[str, Any]) -> str:
    value = document.get("currency")
    if not isinstance(value, str) or not re.fullmatch(r"[A-Z][A-Z0-9]{2,9}", value):
        raise ProofBroken("currency is no code of a currency.")
    return value


def _day(document: Mapping[str, Any]) -> int:
    try:
        return date.fromisoformat(str(document.get("day"))).toordinal() - _EPOCH_DAY
    except ValueError as error:
        raise ProofBroken("day is no date.") from error


def _user(document: Mapping[str, Any]) -> UUID:
    try:
        return UUID(str(document.get("user")))
    except ValueError as error:
        raise ProofBroken("user is no id.") from error


def _path(document: Mapping[str, Any]) -> list[tuple[int, bytes]]:
    path = document.get("path")
    if not isinstance(path, list) or not all(isinstance(step, dict) for step in path):
        raise ProofBroken("path is no list of nodes.")
    return [(_number(step, "total", 0, _SUM_LIMIT), _hex(step, "hash", 32)) for step in path]

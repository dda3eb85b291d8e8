"""Merkle trees whose nodes carry sums, for proofs of liabilities. Pure.

A leaf is SHA-256 over 0x00, a salt of 32 bytes, the owner's id (16 bytes) and the balance; a node
is SHA-256 over 0x01, the left sum, the left hash, the right sum and the right hash. Balances and
sums take 16 bytes, big-endian, and are never below zero. *Both* sums of the children are hashed:
with their total alone, a node could be shown with a smaller sum on one side than it was made from.
An odd node at the end of a level goes up as it is; nothing is ever counted twice.

`client_sdk.liabilities` checks the same from the other side, and shares no code with this module.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

SUM_BYTES = 16
SALT_BYTES = 32
BALANCE_MAX = 2**63 - 1


class Node(NamedTuple):
    total: int
    hash: bytes


def leaf_node(salt: bytes, owner: UUID, balance: int) -> Node:
    """Return an owner's leaf.

    Raises:
        ValueError: the balance is below zero or beyond 64 bits, or the salt has another length.
    """
    if not 0 <= balance <= BALANCE_MAX or len(salt) != SALT_BYTES:
        raise ValueError(f"no leaf has the balance {balance} and a salt of {len(salt)} bytes")
    content = b"\x00" + salt + owner.bytes + sum_bytes(balance)
    return Node(balance, hashlib.sha256(content).digest())


def parent_of(left: Node, right: Node) -> Node:
    content = b"\x01" + sum_bytes(left.total) + left.hash + sum_bytes(right.total) + right.hash
    return Node(left.total + right.total, hashlib.sha256(content).digest())


def levels_of(leaves: Sequence[Node]) -> list[list[Node]]:
    """Return the levels of the tree, the leaves first and the root last.

    Raises:
        ValueError: there are no leaves.
    """
    if not leaves:
        raise ValueError("a tree has at least one leaf")
    levels = [list(leaves)]
    while len(level := levels[-1]) > 1:
        above = [parent_of(*level[at : at + 2]) for at in range(0, len(level) - 1, 2)]
        levels.append(above + level[len(level) & ~1 :])
    return levels


def siblings_of(place: int, size: int) -> list[tuple[int, int]]:
    """Return (level, place) of the nodes that lead from a leaf to the root."""
    found = []
    level = 0
    while size > 1:
        if place ^ 1 < size:
            found.append((level, place ^ 1))
        place, size, level = place >> 1, (size + 1) >> 1, level + 1
    return found


def sum_bytes(total: int) -> bytes:
    return total.to_bytes(SUM_BYTES, "big")

"""Signature algorithms by their COSE numbers (RFC 9864: one number, one curve, one hash)."""

from enum import IntEnum


class Algorithm(IntEnum):
    ED25519 = -19
    ESP256 = -9
    """ECDSA on P-256 with SHA-256, for secure elements that have nothing else."""


PROTECTED_HEADERS = {b"\xa1\x01\x32": Algorithm.ED25519, b"\xa1\x01\x28": Algorithm.ESP256}
"""The whole protected header, `{1: alg}`, as it stands on the wire."""

HEADER_OF = {algorithm: header for header, algorithm in PROTECTED_HEADERS.items()}

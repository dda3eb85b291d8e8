"""base45 (RFC 9285): two bytes as three characters of the QR code's alphanumeric mode."""

from offline_protocol.errors import MalformedFrame

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
_BASE = len(_ALPHABET)
_DIGITS = {character: digit for digit, character in enumerate(_ALPHABET)}
_PAIR_CHARS = 3
_SINGLE_CHARS = 2
_PAIR_MOST = 0xFFFF
_SINGLE_MOST = 0xFF


def encode_base45(data: bytes) -> str:
    """Write bytes as base45."""
    out = []
    for at in range(0, len(data), 2):
        chunk = data[at : at + 2]
        number = int.from_bytes(chunk, "big")
        for _ in range(_PAIR_CHARS if len(chunk) > 1 else _SINGLE_CHARS):
            number, digit = divmod(number, _BASE)
            out.append(_ALPHABET[digit])
    return "".join(out)


def decode_base45(text: str) -> bytes:
    """Read base45.

    Raises:
        MalformedFrame: a character outside the alphabet, or a group that no bytes give.
    """
    out = bytearray()
    for at in range(0, len(text), _PAIR_CHARS):
        group = text[at : at + _PAIR_CHARS]
        if len(group) < _SINGLE_CHARS or any(c not in _DIGITS for c in group):
            raise MalformedFrame("the text is not base45")
        number = sum(_DIGITS[c] * _BASE**place for place, c in enumerate(group))
        if number > (_PAIR_MOST if len(group) == _PAIR_CHARS else _SINGLE_MOST):
            raise MalformedFrame("the text is not base45")
        out += number.to_bytes(len(group) - 1, "big")
    return bytes(out)

"""Deposit references: what a user writes on a bank transfer so that the money finds them. Pure.

A reference is a creditor reference as ISO 11649 has it: ``RF``, two check digits (ISO 7064, MOD
97-10) and here twelve digits. The standard allows letters too, but then M2 and 2M check alike, and
O looks like 0. Of digits, any single wrong one and any two that changed places are noticed; what
does not check belongs to nobody.
"""

import re
from typing import Final

_BODY_DIGITS: Final = 12
_CANDIDATE: Final = re.compile(rf"(?=(RF[0-9]{{{2 + _BODY_DIGITS}}}))")
_SPACERS: Final = frozenset(" \t\r\n-./")
_TEXT_MAX: Final = 1_000


def make_reference(entropy: bytes) -> str:
    """Return a reference from eight random bytes."""
    body = f"{int.from_bytes(entropy, 'big') % 10**_BODY_DIGITS:0{_BODY_DIGITS}d}"
    return f"RF{98 - _value(f'{body}RF00') % 97:02d}{body}"


def is_reference(text: str) -> bool:
    """Return whether these are exactly a reference's characters, with the right check digits."""
    found = _CANDIDATE.match(text)
    return found is not None and found[1] == text and _value(text[4:] + text[:4]) % 97 == 1


def find_references(text: str) -> list[str]:
    """Return the distinct references in what a payer wrote, in their order.

    Spaces, hyphens, dots and slashes inside are ignored, as is case. Any character beyond ASCII
    ends a reference: a letter that only looks right is not right. At most the first 1,000
    characters are looked at.
    """
    kept = []
    for character in text[:_TEXT_MAX]:
        if not character.isascii():
            kept.append("\0")
        elif character not in _SPACERS:
            kept.append(character.upper())
    found = (match[1] for match in _CANDIDATE.finditer("".join(kept)))
    return list(dict.fromkeys(filter(is_reference, found)))


def show_reference(reference: str) -> str:
    """Return a reference in groups of four, as people copy it."""
    return " ".join(reference[start : start + 4] for start in range(0, len(reference), 4))


def _value(text: str) -> int:
    """Return the number that MOD 97-10 divides: letters count from A = 10."""
    return int("".join(str(int(character, 36)) for character in text))

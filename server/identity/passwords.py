"""Passwords: which are taken, and how they are stored.

Stored as Argon2id (RFC 9106; 19 MiB, two passes, one lane) over an HMAC of the password under a
server key, so a stolen table alone cannot be guessed at. Hashing runs in a few threads of its own:
that bounds the memory a burst of sign-ins can take and keeps the event loop free.
"""

import asyncio
import hmac
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from difflib import SequenceMatcher
from functools import cache
from importlib import resources
from itertools import pairwise
from threading import BoundedSemaphore
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from server.identity.errors import PasswordWeak
from server.kit.crypto import Vault
from server.kit.errors import Unavailable

T = TypeVar("T")

PASSWORD_MAX: Final = 128
_WAITING_MAX: Final = 64
_DISTINCT_MIN: Final = 5
_FRAGMENT_MIN: Final = 4
_ALIKE: Final = 0.75
_PADDING_MAX: Final = 4
_LEET = str.maketrans("013457@$!", "oieastasi")
_EDGES = re.compile(r"^[^a-z]+|[^a-z]+$")
_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
# Belongs to nobody; checked so that unknown people cost the same.
_NOBODY: Final = (
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5J3Mgc2FsdC4uLg"
    "$bm9ib2R5IGhhcyB0aGlzIHBhc3N3b3JkLi4uLi4uLiE"
)
_threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="argon2")
_places = BoundedSemaphore(_WAITING_MAX)


@cache
def common_passwords() -> frozenset[str]:
    """Return passwords and words that guessers try first, in lower case."""
    text = resources.files("server.identity").joinpath("common_passwords.txt").read_text("utf-8")
    return frozenset(text.split())


def check_password(password: str, *, length_min: int, personal: Sequence[str]) -> None:
    """Refuse a password that is easy to guess. There are no rules about kinds of characters.

    Args:
        password: as it was typed.
        length_min: in characters.
        personal: what others know about the person: username, address, number.

    Raises:
        PasswordWeak: says which rule was broken, never the password.
    """
    folded = unicodedata.normalize("NFKC", password)
    if len(folded) < length_min:
        raise _weak(f"It has fewer than {length_min} characters.")
    if len(folded) > PASSWORD_MAX:
        raise _weak(f"It has more than {PASSWORD_MAX} characters.")
    folded = folded.casefold()
    if len(set(folded)) < _DISTINCT_MIN or _is_run(folded):
        raise _weak("It repeats itself or counts up or down.")
    if _is_common(folded):
        raise _weak("It is among the passwords that everybody tries first.")
    if any(_is_alike(folded, fact.casefold()) for fact in personal):
        raise _weak("It is too close to your username, e-mail address or phone number.")


def _weak(detail: str) -> PasswordWeak:
    return PasswordWeak(
        detail, fix="Choose a longer one, for example four unrelated words.", field="password"
    )


def _is_run(text: str) -> bool:
    steps = {ord(after) - ord(before) for before, after in pairwise(text)}
    return len(steps) == 1


def _is_common(folded: str) -> bool:
    """Whether it is a listed word, also in disguise (leet, a few characters around it)."""
    words = common_passwords()
    stem = _EDGES.sub("", folded)
    disguised = {folded, folded.translate(_LEET)}
    if len(folded) - len(stem) <= _PADDING_MAX:
        disguised |= {stem, stem.translate(_LEET)}
    return not words.isdisjoint(disguised)


def _is_alike(folded: str, fact: str) -> bool:
    for part in {fact, fact.partition("@")[0], fact.lstrip("+")}:
        if len(part) < _FRAGMENT_MIN:
            continue
        if part in folded or folded in part:
            return True
        if SequenceMatcher(None, folded, part).ratio() >= _ALIKE:
            return True
    return False


class PasswordKeeper:
    """Hashes and checks passwords under the key of one installation."""

    def __init__(self, vault: Vault) -> None:
        self._key = vault.derive("identity.password")

    @contextmanager
    def place(self) -> Iterator[None]:
        """Take a place in the queue for hashing, before anything is counted or stored.

        Raises:
            Unavailable: too many are waiting.
        """
        if not _places.acquire(blocking=False):
            raise Unavailable(
                "Too many people are signing in at the moment.", fix="Try again.", retry_after_s=1
            )
        try:
            yield
        finally:
            _places.release()

    async def hash(self, password: str) -> str:
        """Return what is stored for a password."""
        secret = self._peppered(password)
        return await _in_thread(lambda: _hasher.hash(secret))

    async def verify(self, password: str, stored: str | None) -> bool:
        """Return whether it is the password. Without a stored one it costs as much and is False."""
        secret = self._peppered(password)
        right = await _in_thread(lambda: _matches(stored or _NOBODY, secret))
        return right and stored is not None

    def is_outdated(self, stored: str) -> bool:
        """Return whether the hash was made with other figures than today's."""
        return _hasher.check_needs_rehash(stored)

    def _peppered(self, password: str) -> bytes:
        folded = unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, folded, "sha256")


def _matches(stored: str, secret: bytes) -> bool:
    try:
        return _hasher.verify(stored, secret)
    except (VerificationError, InvalidHashError):
        return False


async def _in_thread(work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(_threads, work)

"""The wallet's witness in a PKCS#11 token."""

from typing import Any, Final

from client_sdk.keys.token import Token
from client_sdk.store.witness import Mark

_NUMBER_BYTES: Final = 8


class TokenWitness:
    """A wallet's newest mark, as a data object of the token.

    PKCS#11 has no compare-and-set; the lock on the wallet file keeps other writers of one wallet
    out, and copies of a file meet here one after the other.
    """

    def __init__(self, token: Token, install: bytes) -> None:
        self._token = token
        self._api = token.api
        self._template = [
            (self._api.CKA_CLASS, self._api.CKO_DATA),
            (self._api.CKA_TOKEN, True),
            (self._api.CKA_PRIVATE, True),
            (self._api.CKA_LABEL, f"tallystick {install.hex()}"),
        ]

    def read(self) -> Mark | None:
        return self._token.use(self._read)

    def advance(self, before: Mark | None, after: Mark) -> bool:
        value = after.number.to_bytes(_NUMBER_BYTES, "big") + after.token

        def work(session: Any) -> bool:
            found = self._read(session)
            if found != before:
                return found == after  # it was lost sight of after it was done
            old = session.findObjects(self._template)
            session.createObject([*self._template, (self._api.CKA_VALUE, value)])
            for one in old:  # not before: a mark must never be missing
                session.destroyObject(one)
            return True

        return self._token.use(work)

    def _read(self, session: Any) -> Mark | None:
        """The mark; the newer of two where an interruption left both."""
        values = [
            bytes(session.getAttributeValue(one, [self._api.CKA_VALUE])[0])
            for one in session.findObjects(self._template)
        ]
        marks = (
            Mark(int.from_bytes(value[:_NUMBER_BYTES], "big"), value[_NUMBER_BYTES:])
            for value in values
        )
        return max(marks, key=lambda mark: mark.number, default=None)

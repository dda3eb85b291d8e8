"""A session with a PKCS#11 token: found by its name, opened with a PIN, opened again when lost."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeVar

from client_sdk.errors import MissingExtra
from client_sdk.keys.errors import (
    KeyGone,
    KeysError,
    PinLocked,
    TokenFailed,
    TokenMissing,
    WrongPin,
)

T = TypeVar("T")

_MEANINGS: Final[dict[str, type[KeysError]]] = {
    "CKR_PIN_INCORRECT": WrongPin,
    "CKR_PIN_INVALID": WrongPin,
    "CKR_PIN_LEN_RANGE": WrongPin,
    "CKR_PIN_LOCKED": PinLocked,
    "CKR_DEVICE_REMOVED": TokenMissing,
    "CKR_SESSION_CLOSED": TokenMissing,
    "CKR_SESSION_HANDLE_INVALID": TokenMissing,
    "CKR_SLOT_ID_INVALID": TokenMissing,
    "CKR_TOKEN_NOT_PRESENT": TokenMissing,
    "CKR_TOKEN_NOT_RECOGNIZED": TokenMissing,
    "CKR_USER_NOT_LOGGED_IN": TokenMissing,
    "CKR_KEY_HANDLE_INVALID": KeyGone,
    "CKR_OBJECT_HANDLE_INVALID": KeyGone,
}


class Token:
    """One token; nothing is opened before the first use.

    Args:
        module: the maker's PKCS#11 library, such as /usr/lib/softhsm/libsofthsm2.so.
        label: the token's name.
        pin: the user's PIN, or what asks for it; asked once for each session.
        serial: tells tokens of one name apart.

    Raises:
        MissingExtra: PyKCS11 is not installed.
        TokenMissing: the library cannot be loaded.
    """

    def __init__(
        self,
        module: Path | str,
        label: str,
        pin: str | Callable[[], str],
        *,
        serial: str | None = None,
    ) -> None:
        self.api = _api()
        self._label = label
        self._serial = serial
        self._pin = pin
        self._refused_pin: str | None = None
        self._session: Any = None
        self._library = self.api.PyKCS11Lib()
        try:
            self._library.load(str(module))
        except self.api.PyKCS11Error as error:
            raise TokenMissing(f"The PKCS#11 library {module} cannot be loaded.") from error

    def use(self, work: Callable[[Any], T]) -> T:
        """Do something in a logged-in session; once more in a fresh one if it was lost.

        Raises:
            KeysError: by what the token said.
        """
        fresh = self._session is None
        try:
            return self._run(work)
        except KeysError as error:
            self.close()  # some tokens keep a failed operation open, and refuse the next one
            if fresh or not isinstance(error, TokenMissing | KeyGone):
                raise
            # A token that is away shows no keys: only a fresh session knows which it is.
            return self._run(work)

    def find(self, session: Any, kind: int, key_id: bytes) -> Any:
        """The object of this kind and id.

        Raises:
            KeyGone: the token has none.
        """
        found = session.findObjects([(self.api.CKA_CLASS, kind), (self.api.CKA_ID, key_id)])
        if not found:
            raise KeyGone("The token does not hold this wallet's key.")
        return found[0]

    def mechanism(self, name: str) -> Any:
        """A mechanism without parameters, such as "EDDSA" for CKM_EDDSA."""
        return self.api.Mechanism(getattr(self.api, f"CKM_{name}"), None)

    def close(self) -> None:
        """End the session; the token forgets the PIN with the process's last one."""
        session, self._session = self._session, None
        if session is not None:
            try:
                session.closeSession()
            except self.api.PyKCS11Error:
                return  # it was gone already

    def _run(self, work: Callable[[Any], T]) -> T:
        try:
            if self._session is None:
                self._session = self._opened()
            return work(self._session)
        except self.api.PyKCS11Error as error:
            raise self._meaning(error) from error

    def _opened(self) -> Any:
        session = self._library.openSession(
            self._slot(), self.api.CKF_SERIAL_SESSION | self.api.CKF_RW_SESSION
        )
        try:
            self._log_in(session)
        except BaseException:
            session.closeSession()
            raise
        return session

    def _log_in(self, session: Any) -> None:
        pin = self._pin if isinstance(self._pin, str) else self._pin()
        if pin == self._refused_pin:  # a token counts wrong PINs and locks itself
            raise WrongPin("The token has refused this PIN.")
        try:
            session.login(pin)
        except self.api.PyKCS11Error as error:
            if error.value == self.api.CKR_USER_ALREADY_LOGGED_IN:
                return  # logging in counts for the whole process
            if self._meaning(error).__class__ is WrongPin:
                self._refused_pin = pin
            raise

    def _slot(self) -> int:
        found: list[int] = []
        for slot in self._library.getSlotList(tokenPresent=True):
            try:
                info = self._library.getTokenInfo(slot)
            except self.api.PyKCS11Error:
                continue  # pulled out between the two calls
            if _text(info.label) == self._label and self._serial in {
                None,
                _text(info.serialNumber),
            }:
                found.append(slot)
        if len(found) > 1:
            raise TokenFailed(
                f"{len(found)} tokens are called {self._label!r}.",
                fix="Give the serial number too, or take the others out.",
            )
        if not found:
            raise TokenMissing(f"No token called {self._label!r} is here.")
        return found[0]

    def _meaning(self, error: Any) -> KeysError:
        name = str(self.api.CKR.get(error.value, error.value))
        kind = _MEANINGS.get(name, TokenFailed)
        return kind(f"The token {self._label!r} answered {name}.")


def _text(padded: str | bytes) -> str:
    text = padded.decode() if isinstance(padded, bytes) else padded
    return text.rstrip(" \0")


def _api() -> Any:
    try:
        return import_module("PyKCS11")
    except ImportError:
        raise MissingExtra(
            "Keys in a token need PyKCS11.", fix="pip install 'tallystick[pkcs11]'"
        ) from None

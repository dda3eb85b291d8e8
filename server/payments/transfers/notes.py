"""Notes at rest: sealed, since what people write to each other is nobody else's business."""

from typing import Literal
from uuid import UUID

from server.kit.crypto import Vault
from server.kit.unit_of_work import Tx

_NONCE_BYTES = 24
_Of = Literal["transfer", "money_request", "transfer_schedule"]


def seal_note(
    tx: Tx, vault: Vault, note: str | None, *, tenant: int, of: _Of, identifier: UUID
) -> bytes | None:
    if note is None:
        return None
    nonce = tx.ids.token(_NONCE_BYTES)
    return vault.seal(note.encode(), f"{of}/{tenant}/{identifier}", nonce=nonce)


def open_note(
    vault: Vault, sealed: bytes | None, *, tenant: int, of: _Of, identifier: UUID
) -> str | None:
    if sealed is None:
        return None
    return vault.open(sealed, f"{of}/{tenant}/{identifier}").decode()

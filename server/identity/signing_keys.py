"""The keys that sign access tokens: kept sealed in the database, made anew every 30 days.

In the database, so that every process signs with the same key and a new one needs no hands. A key
stays published until the last token it can have signed is over.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from sqlalchemy import select

from server.identity.desk import Desk
from server.identity.models import SigningKeyRow
from server.identity.settings import IdentityPolicy
from server.identity.tokens import SigningKey
from server.kit.schema import to_base64url
from server.kit.unit_of_work import Tx, UnitOfWork

_CACHED_MAX: Final = 64
_KEYS_MAX: Final = 16


async def current_signing_key(tx: Tx, desk: Desk) -> SigningKey:
    """Return the key to sign with, making one when there is none or the newest is too old."""
    newest = await tx.session.scalar(
        select(SigningKeyRow)
        .where(SigningKeyRow.tenant == desk.tenant)
        .order_by(SigningKeyRow.created_at.desc(), SigningKeyRow.kid)
        .limit(1)
    )
    if newest is not None and newest.created_at > tx.now - desk.policy.signing_key_life:
        seed = desk.vault.open(newest.seed_sealed, _context(desk.tenant, newest.kid))
        return SigningKey(newest.kid, seed)
    key = SigningKey.from_seed(tx.ids.token(32))
    tx.session.add(
        SigningKeyRow(
            tenant=desk.tenant,
            kid=key.kid,
            public_key=key.public_raw,
            seed_sealed=desk.vault.seal(
                key.seed, _context(desk.tenant, key.kid), nonce=tx.ids.token(24)
            ),
            created_at=tx.now,
        )
    )
    await tx.session.flush()
    return key


async def published_keys(desk: Desk) -> dict[str, list[dict[str, str]]]:
    """Return the JWK Set (RFC 7517 section 5): the current key and those before it still in use."""
    rows = await desk.uow.read(lambda tx: _live_keys(tx, desk))
    if not rows:
        await desk.uow.run(lambda tx: current_signing_key(tx, desk))
        rows = await desk.uow.read(lambda tx: _live_keys(tx, desk))
    return {
        "keys": [
            {
                "kty": "OKP",
                "crv": "Ed25519",
                "x": to_base64url(row.public_key),
                "kid": row.kid,
                "alg": "EdDSA",
                "use": "sig",
            }
            for row in rows
        ]
    }


async def _live_keys(tx: Tx, desk: Desk) -> Sequence[SigningKeyRow]:
    oldest = tx.now - key_use(desk.policy)
    query = (
        select(SigningKeyRow)
        .where(SigningKeyRow.tenant == desk.tenant, SigningKeyRow.created_at > oldest)
        .order_by(SigningKeyRow.created_at.desc(), SigningKeyRow.kid)
        .limit(_KEYS_MAX)
    )
    return (await tx.session.scalars(query)).all()


def key_use(policy: IdentityPolicy) -> timedelta:
    """Return how long after its making a key can still verify a token that is not over."""
    return policy.signing_key_life + max(policy.access_life, policy.remembered_life)


class PublicKeys:
    """Verifying keys by name, remembered by the process; a key never changes."""

    def __init__(self, uow: UnitOfWork, tenant: int) -> None:
        self._uow = uow
        self._tenant = tenant
        self._known: dict[str, bytes] = {}

    async def find(self, kid: str) -> bytes | None:
        if kid not in self._known:
            raw = await self._uow.read(lambda tx: self._load(tx, kid))
            if raw is None:
                return None
            if len(self._known) >= _CACHED_MAX:
                self._known.clear()
            self._known[kid] = raw
        return self._known[kid]

    async def _load(self, tx: Tx, kid: str) -> bytes | None:
        return await tx.session.scalar(
            select(SigningKeyRow.public_key).where(
                SigningKeyRow.tenant == self._tenant, SigningKeyRow.kid == kid
            )
        )


def _context(tenant: int, kid: str) -> str:
    return f"identity_signing_key/{tenant}/{kid}"

"""Revoking a stolen issuing key, so that no payee takes what its thief signs.

The key set cannot say it: there a stolen key ends, but whoever has it dates what he signs back into
the time when it served. He also chooses how long his vouchers live, so the entry stays for ever.
Honest value that the key signed is refused offline from then on too; it is claimed online as usual.
"""

from typing import Final

from offline_protocol.certificates import KeyUse
from server.kit.unit_of_work import Tx, UnitOfWork
from server.offline.audit import Officer, record_deed
from server.offline.errors import CeremonyRefused
from server.offline.events import lock_offline, turn_of
from server.offline.issuer_keys import IssuerKeys
from server.offline.revocation import Revocation, RevokedKind, current_epoch, revoke

_FOR_EVER: Final = 2**53 - 1


async def revoke_issuer_key(
    uow: UnitOfWork, keys: IssuerKeys, *, tenant: int, by: Officer, kid: bytes, reason: str
) -> int:
    """Put an issuing key on the revocation list; again changes nothing.

    Returns:
        The epoch of the list.

    Raises:
        CeremonyRefused: the key set lists no such issuing key, or it is the one that signs now: the
            list itself would not be believed.
    """
    listed = [k for k in keys.key_set.body.keys if k.kid == kid and k.use is KeyUse.ISSUE]
    if not listed:
        raise CeremonyRefused(f"The key set lists no issuing key {kid.hex()}.")

    async def command(tx: Tx) -> int:
        await lock_offline(tx, tenant)
        if keys.issuer_at(int(tx.now.timestamp())).public_key == listed[0].key:
            raise CeremonyRefused(
                f"{kid.hex()} still signs. End it first: `tallystick keys propose --end`."
            )
        entry = Revocation(listed[0].key.id, RevokedKind.ISSUER, "stolen", _FOR_EVER)
        if await revoke(tx, tenant, [entry]):
            await record_deed(
                tx, tenant, by, "issuer_key_revoked", subject=f"key/{kid.hex()}", reason=reason
            )
        return await current_epoch(tx, tenant)

    return await uow.run(command, turn=turn_of(tenant))

"""Partner banks: who they are, what they hold for us, and the secrets that we share with them.

A secret is changed with an overlap: from the moment it is made the new one is taken, the old one
goes on until the overlap ends, and only then we sign with the new one ourselves.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy import select

from server.kit.crypto import Vault
from server.kit.errors import InvalidRequest, NotFound
from server.kit.money import asset
from server.kit.schema import to_base64url
from server.kit.unit_of_work import Tx
from server.payments.banks.errors import BankExists, BankUnavailable, RotationUnderWay
from server.payments.banks.models import BankRow, BankSecretRow

_SECRET_BYTES: Final = 32
_SECRETS_READ: Final = 4


class RailKind(StrEnum):
    """How a bank takes payment orders."""

    API = "api"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Bank:
    """A partner bank as the rest of the slice sees it."""

    tenant: int
    id: UUID
    name: str
    country: str
    bic: str | None
    holder: str
    accounts: Mapping[str, str]
    """Our own account there, by currency."""
    rail: RailKind
    api_url: str | None
    active: bool


@dataclass(frozen=True, slots=True)
class BankDetails:
    """What an operator says of a new bank."""

    name: str
    country: str
    holder: str
    accounts: Mapping[str, str]
    rail: RailKind
    bic: str | None = None
    api_url: str | None = None


async def add_bank(tx: Tx, vault: Vault, tenant: int, details: BankDetails) -> tuple[Bank, str]:
    """Store a bank; return it and its secret, which is shown this once.

    Raises:
        BankExists: another bank has the name.
        InvalidRequest: there is no account, or an API without an address.
        UnknownCurrency: this server does not count a currency.
    """
    for currency in details.accounts:
        asset(currency)
    if not details.accounts:
        raise InvalidRequest("A bank holds at least one currency for us.")
    if (details.rail is RailKind.API) != (details.api_url is not None):
        raise InvalidRequest("A bank with an API has its address; one that takes files has none.")
    if await find_by_name(tx, tenant, details.name) is not None:
        raise BankExists(f"There is a bank called {details.name!r} already.", fix="Use its id.")
    row = BankRow(
        tenant=tenant,
        id=tx.ids.uuid(),
        name=details.name,
        country=details.country,
        bic=details.bic,
        holder=details.holder,
        accounts=dict(details.accounts),
        rail=details.rail.value,
        api_url=details.api_url,
        status="active",
        created_at=tx.now,
        suspended_at=None,
    )
    tx.session.add(row)
    secret = _add_secret(tx, vault, row, number=1, signs_from=tx.now)
    await tx.session.flush()
    return _bank(row), secret


async def rotate_secret(
    tx: Tx, vault: Vault, tenant: int, bank_id: UUID, *, overlap: timedelta
) -> str:
    """Make a new secret and return it; the old one ends when the overlap does.

    Without an overlap every older secret ends at once: the answer to one that was stolen.

    Raises:
        NotFound: there is no such bank.
        RotationUnderWay: the overlap of the last change is not over.
    """
    row = await _locked(tx, tenant, bank_id)
    alive = await _alive(tx, tenant, bank_id)
    if overlap and len(alive) > 1:
        raise RotationUnderWay(
            "Two secrets are good at present.",
            fix="Wait until the older one ends, or end it now with --overlap-hours 0.",
        )
    ends = tx.now + overlap
    for secret in alive:
        secret.ends_at = ends
    # There is always one: the newest has no end.
    text = _add_secret(tx, vault, row, number=alive[0].number + 1, signs_from=ends)
    await tx.session.flush()
    return text


async def set_active(tx: Tx, tenant: int, bank_id: UUID, *, active: bool) -> Bank:
    """Suspend a bank, or take it back.

    From a suspended bank nothing is taken, and nothing is sent to it; what is on its way stays.

    Raises:
        NotFound: there is no such bank.
    """
    row = await _locked(tx, tenant, bank_id)
    row.status = "active" if active else "suspended"
    row.suspended_at = None if active else tx.now
    await tx.session.flush()
    return _bank(row)


async def find_bank(tx: Tx, tenant: int, bank_id: UUID) -> Bank:
    """Return a bank.

    Raises:
        NotFound: there is no such bank.
    """
    row = await tx.session.get(BankRow, (tenant, bank_id))
    if row is None:
        raise NotFound("There is no such bank.", fix="`tallystick banks list` shows them.")
    return _bank(row)


async def find_by_name(tx: Tx, tenant: int, name: str) -> Bank | None:
    row = await tx.session.scalar(
        select(BankRow).where(BankRow.tenant == tenant, BankRow.name == name)
    )
    return None if row is None else _bank(row)


async def all_banks(tx: Tx, tenant: int) -> list[Bank]:
    """Return every bank, the oldest first."""
    rows = await tx.session.scalars(
        select(BankRow).where(BankRow.tenant == tenant).order_by(BankRow.created_at, BankRow.id)
    )
    return [_bank(row) for row in rows]


async def bank_for(tx: Tx, tenant: int, currency: str, country: str | None = None) -> Bank:
    """Return the active bank that pays out a currency: one of the country first, then the oldest.

    Raises:
        BankUnavailable: there is none.
    """
    banks = [
        bank for bank in await all_banks(tx, tenant) if bank.active and currency in bank.accounts
    ]
    if not banks:
        raise BankUnavailable(
            f"No partner bank serves {currency} at present.", fix="Try again later."
        )
    return min(banks, key=lambda bank: bank.country != country)


async def secrets_taken(tx: Tx, vault: Vault, bank: Bank) -> list[bytes]:
    """Return the secrets with which the bank may sign at this moment."""
    rows = await _alive(tx, bank.tenant, bank.id)
    return [_open(vault, row) for row in rows]


async def secret_for_signing(tx: Tx, vault: Vault, bank: Bank) -> bytes:
    """Return the secret with which we sign what we ask of the bank."""
    rows = await _alive(tx, bank.tenant, bank.id)
    ours = [row for row in rows if row.signs_from <= tx.now] or rows
    return _open(vault, max(ours, key=lambda row: row.number))


async def _alive(tx: Tx, tenant: int, bank_id: UUID) -> list[BankSecretRow]:
    rows = await tx.session.scalars(
        select(BankSecretRow)
        .where(BankSecretRow.tenant == tenant, BankSecretRow.bank == bank_id)
        .order_by(BankSecretRow.number.desc())
        .limit(_SECRETS_READ)
    )
    return [row for row in rows if row.ends_at is None or row.ends_at > tx.now]


async def _locked(tx: Tx, tenant: int, bank_id: UUID) -> BankRow:
    row = await tx.session.get(BankRow, (tenant, bank_id), with_for_update=True)
    if row is None:
        raise NotFound("There is no such bank.", fix="`tallystick banks list` shows them.")
    return row


def _add_secret(tx: Tx, vault: Vault, bank: BankRow, *, number: int, signs_from: datetime) -> str:
    text = f"tsb_{to_base64url(tx.ids.token(_SECRET_BYTES))}"
    context = _context(bank.tenant, bank.id, number)
    tx.session.add(
        BankSecretRow(
            tenant=bank.tenant,
            bank=bank.id,
            number=number,
            sealed=vault.seal(text.encode(), context, nonce=tx.ids.token(24)),
            made_at=tx.now,
            signs_from=signs_from,
            ends_at=None,
        )
    )
    return text


def _open(vault: Vault, row: BankSecretRow) -> bytes:
    return vault.open(row.sealed, _context(row.tenant, row.bank, row.number))


def _context(tenant: int, bank: UUID, number: int) -> str:
    return f"bank-secret/{tenant}/{bank}/{number}"


def _bank(row: BankRow) -> Bank:
    return Bank(
        tenant=row.tenant,
        id=row.id,
        name=row.name,
        country=row.country,
        bic=row.bic,
        holder=row.holder,
        accounts=dict(row.accounts),
        rail=RailKind(row.rail),
        api_url=row.api_url,
        active=row.status == "active",
    )

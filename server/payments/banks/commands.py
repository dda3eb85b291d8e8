"""What operators do at the command line: banks, files of orders, statements. Texts for people."""

import json
from collections.abc import Iterable, Mapping
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import UUID

from server.kit.crypto import Vault
from server.kit.errors import InvalidRequest, NotFound
from server.kit.money import Money
from server.kit.unit_of_work import Tx, UnitOfWork
from server.payments.banks import files
from server.payments.banks.camt import parse_statements
from server.payments.banks.desk import OPERATOR, record_deed
from server.payments.banks.partners import (
    Bank,
    BankDetails,
    RailKind,
    add_bank,
    all_banks,
    find_bank,
    find_by_name,
    rotate_secret,
    set_active,
)
from server.payments.banks.payees import Payee, check_payee
from server.payments.banks.statements import ImportedStatement, import_statement

_LOCAL = frozenset({"127.0.0.1", "::1", "localhost"})


async def find_named(tx: Tx, tenant: int, name: str) -> Bank:
    """Return a bank by its name or its id.

    Raises:
        NotFound: there is none.
    """
    try:
        return await find_bank(tx, tenant, UUID(name))
    except ValueError:
        bank = await find_by_name(tx, tenant, name)
    if bank is None:
        raise NotFound(f"No bank is called {name!r}.", fix="`tallystick banks list` shows them.")
    return bank


def read_accounts(pairs: Iterable[str], holder: str) -> Mapping[str, str]:
    """Return our accounts by currency from texts such as ``EUR=DE89370400440532013000``.

    Raises:
        InvalidRequest: a text has another form, or a currency comes twice.
        BankAccountInvalid: what begins like an IBAN is none.
    """
    accounts: dict[str, str] = {}
    for pair in pairs:
        currency, _, number = pair.partition("=")
        number = number.replace(" ", "")
        if not number or currency in accounts:
            raise InvalidRequest(f"{pair!r} is not CURRENCY=ACCOUNT, or the currency came before.")
        if number[:2].isalpha() and number[2:4].isdigit():
            number = check_payee(Payee(name=holder, iban=number)).number
        accounts[currency] = number
    return accounts


def check_address(address: str | None) -> str | None:
    """Return the address of an API: https, or http on this machine.

    Raises:
        InvalidRequest: it is another.
    """
    if address is None:
        return None
    parts = urlsplit(address)
    local = parts.scheme == "http" and parts.hostname in _LOCAL
    if not (parts.hostname and (parts.scheme == "https" or local)):
        raise InvalidRequest("A bank's API is at an https address (http on this machine alone).")
    return address.rstrip("/")


async def add(
    uow: UnitOfWork,
    vault: Vault,
    tenant: int,
    *,
    name: str,
    country: str,
    holder: str,
    accounts: Iterable[str],
    bic: str | None,
    api_url: str | None,
) -> dict[str, str]:
    """Add a bank; return its id, the address for its notices, and its secret."""
    details = BankDetails(
        name=name,
        country=country,
        holder=holder,
        accounts=read_accounts(accounts, holder),
        rail=RailKind.FILE if api_url is None else RailKind.API,
        bic=bic,
        api_url=check_address(api_url),
    )

    async def command(tx: Tx) -> tuple[Bank, str]:
        bank, secret = await add_bank(tx, vault, tenant, details)
        await _note(tx, bank, "bank_added", "")
        return bank, secret

    bank, secret = await uow.run(command)
    return {"id": str(bank.id), "webhook": f"/v1/webhooks/banks/{bank.id}", "secret": secret}


async def rotate(
    uow: UnitOfWork, vault: Vault, tenant: int, name: str, *, overlap_hours: float
) -> str:
    """Make a bank's new secret and return it."""

    async def command(tx: Tx) -> str:
        bank = await find_named(tx, tenant, name)
        overlap = timedelta(hours=overlap_hours)
        secret = await rotate_secret(tx, vault, tenant, bank.id, overlap=overlap)
        await _note(tx, bank, "secret_rotated", f"overlap {overlap_hours} h")
        return secret

    return await uow.run(command)


async def activate(uow: UnitOfWork, tenant: int, name: str, *, active: bool, reason: str) -> str:
    """Suspend a bank or take it back; return a line that says so."""

    async def command(tx: Tx) -> str:
        bank = await find_named(tx, tenant, name)
        await set_active(tx, tenant, bank.id, active=active)
        await _note(tx, bank, "bank_resumed" if active else "bank_suspended", reason)
        return f"{bank.name} is {'active' if active else 'suspended'}."

    return await uow.run(command)


async def bank_rows(tx: Tx, tenant: int) -> list[dict[str, object]]:
    return [
        {
            "id": str(bank.id),
            "name": bank.name,
            "country": bank.country,
            "accounts": dict(bank.accounts),
            "rail": bank.rail.value,
            "api": bank.api_url,
            "status": "active" if bank.active else "suspended",
        }
        for bank in await all_banks(tx, tenant)
    ]


def bank_lines(rows: list[dict[str, object]]) -> str:
    if not rows:
        return "There is no bank yet. `tallystick banks add` adds one."
    return "\n".join(
        f"{row['name']}  {row['id']}  {row['country']}  {row['rail']}  {row['status']}\n"
        f"    {json.dumps(row['accounts'])}  {row['api'] or ''}".rstrip()
        for row in rows
    )


async def make_files(uow: UnitOfWork, vault: Vault, tenant: int, name: str) -> str:
    """Put waiting orders into files; return a line for each."""

    async def command(tx: Tx) -> list[files.PaymentFile]:
        bank = await find_named(tx, tenant, name)
        return await files.make_files(tx, vault, bank, OPERATOR)

    return _file_lines(await uow.run(command)) or "No order waits."


async def show_files(tx: Tx, tenant: int, name: str) -> str:
    bank = await find_named(tx, tenant, name)
    return _file_lines(await files.list_files(tx, bank)) or "There is no file."


async def file_bytes(uow: UnitOfWork, vault: Vault, tenant: int, file_id: UUID) -> bytes:
    """Return a file of orders as the bank gets it."""
    return await uow.read(lambda tx: files.file_content(tx, vault, tenant, file_id))


async def hand_over(uow: UnitOfWork, tenant: int, file_id: UUID) -> str:
    done = await uow.run(lambda tx: files.mark_handed_over(tx, tenant, file_id, OPERATOR))
    return f"{done.name}: handed over."


async def read_answer(uow: UnitOfWork, tenant: int, name: str, data: bytes) -> str:
    """Settle what a bank refused of a file."""

    async def command(tx: Tx) -> int:
        return await files.read_response(tx, await find_named(tx, tenant, name), data)

    return f"{await uow.run(command)} orders were refused."


async def import_file(uow: UnitOfWork, tenant: int, name: str, data: bytes) -> str:
    """Import every statement of a CAMT.053 file, all or none; return what came of each."""
    statements = parse_statements(data)

    async def command(tx: Tx) -> list[ImportedStatement]:
        bank = await find_named(tx, tenant, name)
        return [await import_statement(tx, bank, statement) for statement in statements]

    return "\n".join(_statement_lines(done) for done in await uow.run(command))


def _statement_lines(done: ImportedStatement) -> str:
    report = done.report
    lines = [
        f"{done.id} {done.currency}: {done.lines} lines, {report.matched} match, "
        f"{done.settled} orders settled, {done.pending} still pending"
        + (" (imported before)" if report.repeated else "")
    ]
    if report.unexplained:
        lines.append(
            f"    the closing balance differs by {Money(report.unexplained, done.currency)}"
        )
    lines += [
        f"    {each.state} {each.kind}: {each.external_id or each.entry} "
        f"here {each.here} there {each.there}"
        for each in report.breaks
    ]
    return "\n".join(lines)


def _file_lines(made: Iterable[files.PaymentFile]) -> str:
    return "\n".join(
        f"{each.id}  {each.name}  {each.orders} orders  {each.amount}"
        + ("  handed over" if each.handed_over else "")
        for each in made
    )


async def _note(tx: Tx, bank: Bank, action: str, reason: str) -> None:
    await record_deed(tx, bank.tenant, OPERATOR, action, subject=f"bank/{bank.id}", reason=reason)

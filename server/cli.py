"""The server's commands: serve, migrate, settings, keys and the reports.

Imports stand inside the commands so that `tallystick --help` answers at once.
"""

import asyncio
import gc
import json
import os
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

import click

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from server.kit.crypto import Vault
    from server.kit.unit_of_work import Tx, UnitOfWork
    from server.offline import IssuerKeys
    from server.payments.payouts import PayoutDesk
    from server.settings import Settings

T = TypeVar("T")
_STOPPING_S = 5
"""How long calls that are under way may take when the server is told to stop."""
_GC_THRESHOLDS = (50_000, 20, 50)
"""Objects between two searches for cycles, and how often older objects are searched as well."""
_as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def _fail(message: str) -> NoReturn:
    raise click.ClickException(message)


def _settings() -> "Settings":
    from server.settings import SettingsError, load_settings

    try:
        return load_settings(os.environ)
    except SettingsError as error:
        _fail(str(error))


def _with_database(work: "Callable[[UnitOfWork], Awaitable[T]]") -> T:
    """Do one thing with the database of the settings.

    A refusal ends the command with its text.
    """
    from server.kit.clock import SystemClock
    from server.kit.db import create_engine
    from server.kit.errors import TallyError
    from server.kit.ids import SystemIds
    from server.kit.unit_of_work import UnitOfWork
    from server.migrations import is_current

    settings = _settings()
    _need_database(settings)

    async def run() -> T:
        clock = SystemClock()
        engine = create_engine(settings.resolved_database_url)
        try:
            try:
                current = await is_current(engine)
            except Exception as error:  # noqa: BLE001 - each driver has errors of its own
                _fail_database(settings, error)
            if not current:
                _fail("The database schema is not current. Run `tallystick migrate` first.")
            return await work(UnitOfWork(engine, clock=clock, ids=SystemIds(clock)))
        finally:
            await engine.dispose()

    try:
        return asyncio.run(run())
    except TallyError as error:
        _fail(f"{error.detail} {error.fix or ''}".strip())


def _read(query: "Callable[[Tx], Awaitable[T]]") -> T:
    return _with_database(lambda uow: uow.read(query))


def _need_database(settings: "Settings") -> None:
    path = settings.data_dir / "tallystick.sqlite"
    if not settings.database_url and not path.exists():
        _fail(
            f"There is no database at {path}. Set TALLYSTICK_DATA_DIR or TALLYSTICK_DATABASE_URL, "
            "or start a server with `tallystick serve`."
        )


def _load_issuer_keys(settings: "Settings") -> "IssuerKeys":
    from server.kit.clock import SystemClock
    from server.master_key import load_vault
    from server.offline import IssuerKeysMissing, load_issuer_keys
    from server.settings import SettingsError

    try:
        return load_issuer_keys(settings.keys_dir, load_vault(settings), SystemClock())
    except (IssuerKeysMissing, SettingsError) as error:
        _fail(str(error))


@click.command()
@click.option("--port-file", type=click.Path(path_type=Path), help="Write the chosen port here.")
def serve(port_file: Path | None) -> None:
    """Serve the HTTP API, with the background work in the same process.

    Everything is chosen by environment variables; `tallystick settings` lists them.

    \b
    Examples:
      tallystick serve
      TALLYSTICK_PORT=0 tallystick serve --port-file port.txt
      TALLYSTICK_DATABASE_URL=postgresql+asyncpg://tally@db/tally tallystick serve
    """
    import socket

    import uvicorn

    from server.app import create_app
    from server.identity import public_address
    from server.kit.api_page import API_PAGE
    from server.kit.telemetry import configure_logging, get_logger
    from server.offline import IssuerKeysMissing
    from server.settings import SettingsError

    settings = _settings()
    configure_logging(settings.log_level)
    listener = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        _fail(f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}.")
    settings = replace(settings, port=listener.getsockname()[1])
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        _prepare_database(settings)
        app = create_app(settings)
    except (SettingsError, IssuerKeysMissing) as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"Cannot use the data folder: {error.strerror}: {error.filename}.")
    if port_file is not None:
        _write_port(port_file, settings.port)
    get_logger(__name__).info(
        "serving", address=public_address(settings), api_page=API_PAGE, gateway="sandbox"
    )
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            # Forwarded headers are believed only when an operator says so: they would let anybody
            # choose the address that limits count.
            proxy_headers=False,
            # The faster reader takes headers without end, HTTP/0.9, and no Host or several.
            http="h11",
            ws="none",
            timeout_graceful_shutdown=_STOPPING_S,
        )
    )
    # What stands here lives as long as the process, and a large sync makes many objects at once:
    # the search for cycles leaves the one out and comes less often for the other.
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    server.run(sockets=[listener])
    if not server.started:
        _fail("The server could not start; the last lines of its log say why.")


def _prepare_database(settings: "Settings") -> None:
    """Find out before serving whether the database can be used, and bring its schema up to date.

    A database that holds vouchers needs the keys that signed them: fresh ones would be refused by
    every enrolled device.
    """
    from sqlalchemy import text

    from server.kit.clock import SystemClock
    from server.kit.db import create_engine
    from server.kit.ids import SystemIds
    from server.kit.unit_of_work import UnitOfWork
    from server.migrations import is_current
    from server.migrations import migrate as migrate_schema
    from server.offline import has_issued

    clock = SystemClock()

    async def run() -> bool:
        engine = create_engine(settings.resolved_database_url)
        try:
            if settings.migrate_at_start:
                await migrate_schema(engine)
            if await is_current(engine):
                async with engine.begin() as connection:
                    # Changes nothing, but a database that can only be read refuses it.
                    await connection.execute(
                        text("UPDATE alembic_version SET version_num = version_num")
                    )
                return await UnitOfWork(engine, clock=clock, ids=SystemIds(clock)).read(has_issued)
            return False
        finally:
            await engine.dispose()

    try:
        keys_needed = asyncio.run(run())
    except Exception as error:  # noqa: BLE001 - each driver has errors of its own
        _fail_database(settings, error)
    if keys_needed and not settings.keys_dir.exists():
        _fail(
            f"The database holds vouchers and certificates, but {settings.keys_dir} with the keys "
            "that signed them is missing. Restore that folder, and the master key that seals it."
        )


def _fail_database(settings: "Settings", error: Exception) -> NoReturn:
    from sqlalchemy import make_url

    address = make_url(settings.resolved_database_url).render_as_string(hide_password=True)
    reason = str(getattr(error, "orig", None) or error).partition("\n")[0]
    _fail(f"Cannot use the database {address}: {reason or type(error).__name__}.")


def _write_port(path: Path, port: int) -> None:
    partial = path.with_suffix(".partial")
    try:
        partial.write_text(str(port), encoding="ascii")
        partial.replace(path)
    except OSError as error:
        _fail(f"Cannot write the port to {path}: {error.strerror}.")


@click.command()
def migrate() -> None:
    """Bring the database schema up to date.

    \b
    Example:
      TALLYSTICK_DATABASE_URL=postgresql+asyncpg://tally@db/tally tallystick migrate
    """
    settings = replace(_settings(), migrate_at_start=True)
    try:
        if not settings.database_url:
            settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        _fail(f"Cannot use the data folder: {error.strerror}: {error.filename}.")
    _prepare_database(settings)
    _prepare_workflows(settings)
    click.echo("The schema is current.")


def _prepare_workflows(settings: "Settings") -> None:
    from server.kit.workflows import WorkflowPlace, prepare_books

    try:
        prepare_books(WorkflowPlace.beside(settings.resolved_database_url))
    except Exception as error:  # noqa: BLE001 - each driver has errors of its own
        _fail_database(settings, error)


@click.command()
def settings() -> None:
    """List every setting: the environment variable, its default and its meaning."""
    from server.settings import settings_table

    for name, default, meaning in settings_table():
        click.echo(f"{click.style(name, bold=True)}  [{default or 'empty'}]\n    {meaning}")


@click.command()
@click.option("--to", "address", help="Only messages to this phone number or e-mail address.")
@click.option("--wait", "wait_s", default=0.0, show_default=True, help="Seconds to wait for one.")
def messages(address: str | None, wait_s: float) -> None:
    """Show the messages that the sandbox wrote to its spool instead of sending them.

    \b
    Example:
      tallystick messages --to +905301112201 --wait 10
    """
    import time

    from server.kit.messaging import read_spool

    spool = _settings().spool_dir
    deadline = time.monotonic() + wait_s
    while not (found := [m for m in read_spool(spool) if address in {None, m.to}]):
        if time.monotonic() >= deadline:
            _fail(f"No message{f' to {address}' if address else ''} is in {spool}.")
        time.sleep(0.1)
    for message in found:
        click.secho(f"{message.channel} to {message.to}", bold=True)
        click.echo(message.text)


@click.group()
def keys() -> None:
    """Make and show the issuer's keys: root, issuing, settlement, checkpoint.

    The root key signs the key set that every device trusts. Keep it offline: after `keys init`
    move the root file away; serving does not need it.
    """


@keys.command("init")
@click.option("--issuer", default="Tallystick", show_default=True, help="Name that devices show.")
def keys_init(issuer: str) -> None:
    """Make the keys of a new installation, sealed by the master key.

    \b
    Example:
      TALLYSTICK_DATA_DIR=var tallystick keys init --issuer "Kibera Co-op"
    """
    from server.kit.clock import SystemClock
    from server.kit.ids import SystemIds
    from server.master_key import load_vault
    from server.offline import IssuerKeysExist, make_issuer_keys
    from server.settings import SettingsError

    clock = SystemClock()
    chosen = _settings()
    try:
        made = make_issuer_keys(
            chosen.keys_dir, load_vault(chosen), issuer=issuer, clock=clock, ids=SystemIds(clock)
        )
    except (IssuerKeysExist, SettingsError) as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"Cannot use the data folder: {error.strerror}: {error.filename}.")
    click.echo(f"Made the issuer's keys in {chosen.keys_dir}.")
    click.echo(f"Root key id: {made.root_key.id.hex()}")


@keys.command("show")
@_as_json
def keys_show(*, as_json: bool) -> None:
    """Show the public part of the issuer's keys."""
    from server.offline import describe_issuer_keys

    rows = describe_issuer_keys(_load_issuer_keys(_settings()))
    if as_json:
        click.echo(json.dumps(rows))
        return
    for name, value in rows.items():
        for line in value if isinstance(value, list) else [value]:
            click.echo(f"{name}: {line}")


def _ceremony(work: "Callable[[], T]") -> "T":
    """Do one step of a ceremony; a refusal ends the command with its text."""
    from server.offline import CeremonyRefused

    try:
        return work()
    except CeremonyRefused as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.strerror}: {error.filename}.")


@keys.command("export-root")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.password_option("--passphrase", help="Seals the file. Asked for when left out.")
def keys_export_root(file: Path, passphrase: str) -> None:
    """Move the root key out of the server into a file that a passphrase seals.

    Keep the file on a machine without a network, and a second copy elsewhere. Serving goes on
    without it; only `keys sign` needs it.

    \b
    Example:
      tallystick keys export-root /media/stick/root.json
    """
    from server.kit.clock import SystemClock
    from server.kit.ids import SystemIds
    from server.master_key import load_vault
    from server.offline import ceremony

    chosen = _settings()
    root = _ceremony(
        lambda: ceremony.export_root(
            chosen.keys_dir,
            load_vault(chosen),
            file,
            passphrase,
            ids=SystemIds(SystemClock()),
        )
    )
    click.echo(f"The root key {root.id.hex()} is in {file} and not on this server any more.")


@keys.command("propose")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--issue", "uses", flag_value="issue", default=True, help="A new issuing key.")
@click.option("--settle", "uses", flag_value="settle", help="A new settling key.")
@click.option("--both", "uses", flag_value="both", help="One of each.")
@click.option("--none", "uses", flag_value="none", help="No new key, only ends (see --end).")
@click.option("--begins-in", "begins_days", default=7.0, show_default=True, help="Days from now.")
@click.option("--years", default=2.0, show_default=True, help="How long the new keys serve.")
@click.option("--end", "ends", multiple=True, metavar="KID", help="A stolen key that ends now.")
@click.option(
    "--epoch-floor",
    type=click.IntRange(min=0),
    help="Payees whose revocation list is older are warned. At most the present epoch.",
)
def keys_propose(
    file: Path,
    *,
    uses: str,
    begins_days: float,
    years: float,
    ends: tuple[str, ...],
    epoch_floor: int | None,
) -> None:
    """Make new keys and write the key set that lists them, to be signed by the root key.

    \b
    Example:
      tallystick keys propose rotation.keyset
      tallystick keys sign rotation.keyset --root /media/stick/root.json --out signed.keyset
      tallystick keys accept signed.keyset
    """
    from offline_protocol import KeyUse
    from server.kit.clock import SystemClock
    from server.kit.ids import SystemIds
    from server.master_key import load_vault
    from server.offline import ceremony, log_head
    from server.offline.revocation import current_epoch

    chosen, clock = _settings(), SystemClock()
    if epoch_floor is not None:
        epoch = _read(lambda tx: current_epoch(tx, chosen.tenant))
        if epoch_floor > epoch:
            _fail(f"The present revocation list is {epoch}; no device can have a newer one.")
    now = int(clock.now().timestamp())
    head = _read(lambda tx: log_head(tx, chosen.tenant))
    made = {"issue": ["issue"], "settle": ["settle"], "both": ["issue", "settle"], "none": []}[uses]
    ended = [_kid(kid) for kid in ends]
    proposal = _ceremony(
        lambda: ceremony.propose(
            chosen.keys_dir,
            load_vault(chosen),
            _load_issuer_keys(chosen),
            ids=SystemIds(clock),
            uses=[KeyUse(use) for use in made],
            now=now,
            begins=now + int(begins_days * 86_400),
            life_s=int(years * 365 * 86_400),
            ends=ended,
            log=head,
            epoch_floor=epoch_floor,
        )
    )
    _ceremony(lambda: file.write_bytes(proposal.payload))
    for line in ceremony.describe(proposal):
        click.echo(line)
    click.echo(f"Carry {file} to the machine with the root key: tallystick keys sign {file}")


def _kid(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        _fail("A kid is written in hexadecimal digits, as `tallystick keys show` prints it.")


@keys.command("revoke")
@click.argument("kid")
@click.option("--reason", required=True, help="Kept in the audit trail.")
def keys_revoke(kid: str, reason: str) -> None:
    """Put a stolen issuing key on the revocation list, for ever. End it first.

    Payees refuse offline what it signed, honest value too, once the list has reached them; honest
    value is claimed online as usual.

    \b
    Example:
      tallystick keys revoke 2de292c1 --reason "server room broken into"
    """
    from server.offline import revoke_issuer_key
    from server.offline.audit import OPERATOR

    chosen = _settings()
    issuer_keys, name = _load_issuer_keys(chosen), _kid(kid)
    epoch = _ceremony(
        lambda: _with_database(
            lambda uow: revoke_issuer_key(
                uow, issuer_keys, tenant=chosen.tenant, by=OPERATOR, kid=name, reason=reason
            )
        )
    )
    click.echo(f"{kid} is on the revocation list {epoch}; devices fetch it at their next sync.")


@keys.command("sign")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--root",
    "root_file",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The file that `keys export-root` wrote.",
)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="Signed set."
)
@click.password_option("--passphrase", confirmation_prompt=False, help="Opens the root file.")
@click.option("--yes", is_flag=True, help="Do not ask whether the set is the right one.")
def keys_sign(file: Path, root_file: Path, out: Path, passphrase: str, *, yes: bool) -> None:
    """Sign a proposed key set with the root key. Needs no network, database or settings.

    \b
    Example:
      tallystick keys sign rotation.keyset --root root.json --out signed.keyset
    """
    from server.offline import ceremony

    proposal = _ceremony(lambda: ceremony.read_proposal(file.read_bytes()))
    for line in ceremony.describe(proposal):
        click.echo(line)
    if not yes:
        click.confirm("Compare this with what the server printed. Sign it?", abort=True)
    root = _ceremony(lambda: ceremony.open_root(root_file.read_bytes(), passphrase))
    _ceremony(lambda: out.write_bytes(ceremony.sign(proposal, root)))
    click.echo(f"Signed by root key {root.public_key.id.hex()}. Carry {out} to the server.")


@keys.command("accept")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def keys_accept(file: Path) -> None:
    """Put a signed key set in the place of the old one. Restart the server afterwards.

    \b
    Example:
      tallystick keys accept signed.keyset
    """
    from server.offline import ceremony

    chosen = _settings()
    current = _load_issuer_keys(chosen)
    signed = _ceremony(lambda: ceremony.accept(chosen.keys_dir, current, file.read_bytes()))
    for line in ceremony.describe(signed.body):
        click.echo(line)
    click.echo("Restart the server: devices get the new set at their next sync.")


@click.command()
@click.argument("username")
@click.argument(
    "role", type=click.Choice(["user", "merchant", "support", "compliance", "risk", "admin"])
)
def role(username: str, role: str) -> None:
    """Give a person a role. It holds from their next call on.

    A merchant's devices carry their name in their certificate, so that a payer sees who is paid.

    \b
    Example:
      tallystick role corner_shop merchant
    """
    from server.identity import Role, set_role

    tenant = _settings().tenant
    user = _with_database(
        lambda uow: uow.run(lambda tx: set_role(tx, tenant, username, Role(role)))
    )
    click.echo(f"{user.username} is {user.role} now.")


@click.command("verify-ledger")
@click.option(
    "--head",
    metavar="NUMBER:HASH",
    help="A seal that was kept elsewhere; it must still be there unchanged.",
)
@_as_json
def verify_ledger(*, head: str | None, as_json: bool) -> None:
    """Recompute the whole ledger and say whether anything was changed.

    Checks every posting and balance, that each currency sums to zero, and the hash chain over all
    sealed entries with its signatures. Ends with status 1 when something does not hold. Keep the
    last seal it prints somewhere else: against somebody who holds the database and the keys, only
    a kept head helps.

    \b
    Examples:
      TALLYSTICK_DATA_DIR=var tallystick verify-ledger
      tallystick verify-ledger --head 17:9f2c...
    """
    from server.ledger import verify_ledger as verify

    chosen = _settings()
    heads = {} if head is None else {chosen.tenant: _parse_head(head)}
    keys = [_load_issuer_keys(chosen).checkpoint_signer.public_key]
    report = _read(lambda tx: verify(tx, trusted_keys=keys, kept_heads=heads))
    if as_json:
        click.echo(json.dumps(report.as_json()))
    else:
        click.echo(report.as_text())
    if not report.sound:
        raise SystemExit(1)


def _parse_head(text: str) -> tuple[int, bytes]:
    number, _, digest = text.partition(":")
    if not (re.fullmatch(r"[0-9]{1,18}", number) and re.fullmatch(r"[0-9a-f]{64}", digest)):
        _fail("--head is a seal's number, a colon and its hash in hex, as verify-ledger prints it.")
    return int(number), bytes.fromhex(digest)


@click.command("trial-balance")
@click.option("--at", type=click.DateTime(["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M"]), help="UTC.")
@click.option("--by", type=click.Choice(["recorded", "effective"]), default="recorded")
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), help="As this day was closed.")
@_as_json
def trial_balance(*, at: "datetime | None", by: str, day: "datetime | None", as_json: bool) -> None:
    """Print the sum of every kind of account, by currency; each currency must come to zero.

    Now, at an instant (by the time at which movements were recorded, or took effect), or as a day
    was closed.

    \b
    Examples:
      tallystick trial-balance
      tallystick trial-balance --at 2026-03-02T18:00 --by effective
      tallystick trial-balance --day 2026-03-01
    """
    from server.ledger.commands import trial_balance_of

    tenant = _settings().tenant
    report = _read(lambda tx: trial_balance_of(tx, tenant, at=at, by=by, day=day))
    click.echo(json.dumps(report.as_json()) if as_json else report.as_text())
    if not report.balanced:
        raise SystemExit(1)


@click.command("close-day")
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), help="Yesterday (UTC) when left out.")
def close_day(*, day: "datetime | None") -> None:
    """Close the books of every day up to this one that is not closed yet.

    Nothing takes effect on a closed day any more: what is learnt later takes effect on the open
    day. The server closes days by itself some hours after midnight.

    \b
    Examples:
      tallystick close-day
      tallystick close-day --day 2026-03-01
    """
    from datetime import timedelta

    from server.kit.clock import SystemClock
    from server.ledger import close_days
    from server.ledger.commands import day_lines

    chosen = _settings()
    upto = (day or SystemClock().now() - timedelta(days=1)).date()
    signer = _load_issuer_keys(chosen).checkpoint_signer
    closed = _with_database(lambda uow: close_days(uow, signer, tenant=chosen.tenant, upto=upto))
    for line in day_lines(closed, upto):
        click.echo(line)


@click.group()
def liabilities() -> None:
    """Publish what all users have, so that each can check that theirs is part of it."""


@liabilities.command("publish")
def liabilities_publish() -> None:
    """Publish the balances of the last closed day, once for each day.

    \b
    Example:
      tallystick close-day && tallystick liabilities publish
    """
    from server.ledger import publish_liabilities
    from server.ledger.commands import root_lines

    chosen = _settings()
    signer = _load_issuer_keys(chosen).checkpoint_signer
    roots = _with_database(lambda uow: publish_liabilities(uow, signer, tenant=chosen.tenant))
    for line in root_lines(roots):
        click.echo(line)


@liabilities.command("show")
@click.option("--currency", help="Only this one, as a file for `tallystick check-liabilities`.")
def liabilities_show(*, currency: str | None) -> None:
    """Print the last published roots, as everybody gets them.

    \b
    Example:
      tallystick liabilities show --currency EUR > root.json
    """
    from server.ledger import liability_roots

    tenant = _settings().tenant
    roots = _read(lambda tx: liability_roots(tx, tenant))
    documents = [root.as_json() for root in roots if currency in {None, root.asset}]
    if currency is None:
        click.echo(json.dumps(documents))
        return
    if not documents:
        _fail(f"Nothing is published in {currency}.")
    click.echo(json.dumps(documents[0]))


@click.group()
def checkpoints() -> None:
    """Keep the ends of the books elsewhere, and compare them later."""


@checkpoints.command("export")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def checkpoints_export(file: Path) -> None:
    """Append the last seal and the last closed day to a file, as one line of JSON.

    Keep the file where nobody with access to the database can change it.

    \b
    Example:
      tallystick checkpoints export /media/stick/checkpoints.jsonl
    """
    from server.ledger.commands import checkpoint_line

    tenant = _settings().tenant
    line = _read(lambda tx: checkpoint_line(tx, tenant))
    try:
        with file.open("a", encoding="utf-8") as kept:
            kept.write(f"{line}\n")
    except OSError as error:
        _fail(f"Cannot write to {file}: {error.strerror}.")
    click.echo(f"Appended to {file}.")


@checkpoints.command("verify")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_as_json
def checkpoints_verify(file: Path, *, as_json: bool) -> None:
    """Compare kept checkpoints with the books: each must still be there, and on the way to now.

    Finds what nothing inside can find: books and chain written anew with the right keys. Ends with
    status 1 when something was changed. `tallystick verify-ledger` checks everything else.

    \b
    Example:
      tallystick checkpoints verify /media/stick/checkpoints.jsonl
    """
    from server.ledger.commands import checked_text

    text = file.read_text(encoding="utf-8", errors="replace")
    keys = [_load_issuer_keys(_settings()).checkpoint_signer.public_key]
    report = _read(lambda tx: checked_text(tx, text, keys))
    click.echo(json.dumps(report.as_json()) if as_json else report.as_text())
    if not report.sound:
        raise SystemExit(1)


@click.command()
@_as_json
def reconcile(*, as_json: bool) -> None:
    """Print how outside parties and offline money compare with the books.

    For each account that mirrors what somebody else keeps for us: the last statement, what is not
    explained, and the open breaks. For offline money: whether the float is the sum of the open
    vouchers. Ends with status 1 when something differs.

    \b
    Example:
      tallystick reconcile --json
    """
    from server.ledger.commands import reconciliation_rows, reconciliation_text
    from server.offline import offline_report as offline

    tenant = _settings().tenant
    lines, sound = _read(lambda tx: reconciliation_text(tx, tenant))
    report = _read(lambda tx: offline(tx, tenant))
    if as_json:
        mirrors = _read(lambda tx: reconciliation_rows(tx, tenant))
        document = {"mirrors": mirrors, "offline": report.as_json()}
        click.echo(json.dumps(document | {"sound": sound and report.adds_up}))
    else:
        for line in lines:
            click.echo(line)
        offline_line = "Offline: the float is what open vouchers back."
        click.echo(offline_line if report.adds_up else report.as_text())
    if not (sound and report.adds_up):
        raise SystemExit(1)


@click.group()
def account() -> None:
    """Show, limit and close single accounts of the ledger.

    ACCOUNT is an id, as entries and breaks name it, or kind/currency, or kind/currency/owner.
    """


@account.command("show")
@click.argument("name", metavar="ACCOUNT")
def account_show(name: str) -> None:
    """Print an account's balance.

    \b
    Example:
      tallystick account show house_fees/EUR
    """
    from server.ledger.commands import account_text

    tenant = _settings().tenant
    click.echo(_read(lambda tx: account_text(tx, tenant, name)))


@account.command("limit")
@click.argument("name", metavar="ACCOUNT")
@click.argument("floor")
@click.option("--ceiling", type=int, help="How high it may go; without limit when left out.")
@click.option("--reason", required=True, help="Why; it is kept for ever.")
def account_limit(name: str, floor: str, ceiling: int | None, reason: str) -> None:
    """Set how low an account may go, in minor units: below zero is a credit line.

    \b
    Examples:
      tallystick account limit user_available/EUR/0190... --reason "credit line" -- -5000
      tallystick account limit house_fees/EUR none --reason "no longer needed"
    """
    from server.ledger.commands import limit_named

    tenant = _settings().tenant
    click.echo(
        _with_database(
            lambda uow: uow.run(
                lambda tx: limit_named(tx, tenant, name, floor, reason, ceiling=ceiling)
            )
        )
    )


@account.command("close")
@click.argument("name", metavar="ACCOUNT")
def account_close(name: str) -> None:
    """Close an empty account for good.

    \b
    Example:
      tallystick account close user_available/USD/01890a5d-ac96-774b-bcce-b302099a8057
    """
    from server.ledger.commands import close_named

    tenant = _settings().tenant
    click.echo(_with_database(lambda uow: uow.run(lambda tx: close_named(tx, tenant, name))))


@click.command("offline-report")
@_as_json
def offline_report(*, as_json: bool) -> None:
    """Print offline money: the float, open vouchers, double spends, debts, the guarantee fund.

    Ends with status 1 when the float is not the sum of the open vouchers.
    """
    from server.offline import offline_report as query

    tenant = _settings().tenant
    report = _read(lambda tx: query(tx, tenant))
    click.echo(json.dumps(report.as_json()) if as_json else report.as_text())
    if not report.adds_up:
        raise SystemExit(1)


@click.group("offline-policy")
def offline_policy() -> None:
    """Show and change the rules of offline money, also while no server is running."""


@offline_policy.command("show")
@click.option("--versions", is_flag=True, help="List every version that was stored instead.")
def offline_policy_show(*, versions: bool) -> None:
    """Print the policy that holds now, as the JSON that `set` takes.

    \b
    Example:
      tallystick offline-policy show > policy.json
    """
    from server.offline.policy_commands import policy_json, version_lines

    tenant = _settings().tenant
    if versions:
        for line in _read(lambda tx: version_lines(tx, tenant)):
            click.echo(line)
        return
    click.echo(_read(lambda tx: policy_json(tx, tenant)))


@offline_policy.command("set")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--reason", required=True, help="Why; it is kept for ever.")
@click.option(
    "--at",
    type=click.DateTime(["%Y-%m-%dT%H:%M", "%Y-%m-%d"]),
    help="From when on it holds (UTC); now when left out.",
)
def offline_policy_set(file: Path, reason: str, at: "datetime | None") -> None:
    """Store a new version of the whole policy, from a JSON file.

    \b
    Example:
      tallystick offline-policy set policy.json --reason "holiday season" --at 2026-12-01
    """
    from server.offline.policy_commands import set_policy

    tenant, document = _settings().tenant, file.read_bytes()
    version = _with_database(
        lambda uow: uow.run(
            lambda tx: set_policy(tx, tenant, document, reason=reason, effective_at=at)
        )
    )
    click.echo(f"Version {version.number} holds from {version.effective_at:%Y-%m-%d %H:%M} UTC on.")


@click.group("offline-fund")
def offline_fund() -> None:
    """Show the guarantee fund, put money into it, take some out."""


@offline_fund.command("show")
@_as_json
def offline_fund_show(*, as_json: bool) -> None:
    """Print balance, promises and what is free, by currency."""
    from server.offline.fund_commands import fund_rows, fund_text

    tenant = _settings().tenant
    rows = _read(lambda tx: fund_rows(tx, tenant))
    click.echo(json.dumps(rows) if as_json else fund_text(rows))


def _fund_command(name: str, sign: int, what: str) -> click.Command:
    @click.argument("amount")
    @click.argument("currency")
    @click.option("--reason", required=True, help="Why; it is kept for ever.")
    @click.option("--key", required=True, help="A name for this movement: it happens once.")
    def command(amount: str, currency: str, reason: str, key: str) -> None:
        from server.offline.fund_commands import change_fund

        tenant = _settings().tenant
        state = _with_database(
            lambda uow: change_fund(
                uow, tenant, amount=amount, currency=currency, sign=sign, reason=reason, key=key
            )
        )
        click.echo(state)

    command.__doc__ = f"""{what}, once for each key.

    \b
    Example:
      tallystick offline-fund {name} 5000.00 EUR --reason "board of 3 March" --key 2026-03
    """
    return offline_fund.command(name)(command)


_fund_command("endow", 1, "Put owners' money into the guarantee fund")
_fund_command("withdraw", -1, "Take money out of the guarantee fund; never what it has promised")


@click.group()
def banks() -> None:
    """Add partner banks, change their secrets, suspend them."""


def _vault() -> "Vault":
    from server.master_key import load_vault
    from server.settings import SettingsError

    try:
        return load_vault(_settings())
    except SettingsError as error:
        _fail(str(error))


@banks.command("add")
@click.argument("name")
@click.option("--country", required=True, help="Two letters, such as DE.")
@click.option("--holder", required=True, help="Whom our accounts there name as their owner.")
@click.option("--account", "accounts", multiple=True, required=True, metavar="CUR=ACCOUNT")
@click.option("--bic", help="The bank's BIC.")
@click.option("--api", "api_url", help="Address of its API; without one it takes files.")
@_as_json
def banks_add(
    *,
    name: str,
    country: str,
    holder: str,
    accounts: tuple[str, ...],
    bic: str | None,
    api_url: str | None,
    as_json: bool,
) -> None:
    """Add a partner bank; prints its secret, once.

    \b
    Example:
      tallystick banks add "First Bank" --country DE --holder "Tallystick Ltd" \\
        --account EUR=DE89370400440532013000 --api https://api.firstbank.example/v1
    """
    from server.payments.banks import commands

    tenant, vault = _settings().tenant, _vault()
    made = _with_database(
        lambda uow: commands.add(
            uow,
            vault,
            tenant,
            name=name,
            country=country,
            holder=holder,
            accounts=accounts,
            bic=bic,
            api_url=api_url,
        )
    )
    if as_json:
        click.echo(json.dumps(made))
        return
    for key, value in made.items():
        click.echo(f"{key}: {value}")
    click.echo("Give the bank the secret on a safe way; it is not shown again.")


@banks.command("list")
@_as_json
def banks_list(*, as_json: bool) -> None:
    """List the partner banks."""
    from server.payments.banks import commands

    tenant = _settings().tenant
    rows = _read(lambda tx: commands.bank_rows(tx, tenant))
    click.echo(json.dumps(rows) if as_json else commands.bank_lines(rows))


@banks.command("rotate-secret")
@click.argument("bank")
@click.option(
    "--overlap-hours",
    type=click.FloatRange(0, 24 * 90),
    default=24.0,
    show_default=True,
    help="How long the old secret goes on; 0 ends it now.",
)
def banks_rotate(bank: str, overlap_hours: float) -> None:
    """Make a bank's new secret; it is good at once, and ours to sign with after the overlap.

    \b
    Example:
      tallystick banks rotate-secret "First Bank" --overlap-hours 48
    """
    from server.payments.banks import commands

    tenant, vault = _settings().tenant, _vault()
    secret = _with_database(
        lambda uow: commands.rotate(uow, vault, tenant, bank, overlap_hours=overlap_hours)
    )
    click.echo(f"secret: {secret}")


def _activate(name: str, *, active: bool, what: str) -> None:
    @click.argument("bank")
    @click.option("--reason", required=True, help="Why; it is kept for ever.")
    def command(bank: str, reason: str) -> None:
        from server.payments.banks import commands

        tenant = _settings().tenant
        click.echo(
            _with_database(
                lambda uow: commands.activate(uow, tenant, bank, active=active, reason=reason)
            )
        )

    command.__doc__ = what
    banks.command(name)(command)


_activate("suspend", active=False, what="Take nothing from a bank and send nothing to it.")
_activate("resume", active=True, what="Take a suspended bank back.")


@click.group("bank-files")
def bank_files() -> None:
    """Payment orders in files (pain.001), for banks without an API."""


@bank_files.command("make")
@click.argument("bank")
def bank_files_make(bank: str) -> None:
    """Put the orders that wait into files, one for each currency."""
    from server.payments.banks import commands

    tenant, vault = _settings().tenant, _vault()
    click.echo(_with_database(lambda uow: commands.make_files(uow, vault, tenant, bank)))


@bank_files.command("list")
@click.argument("bank")
def bank_files_list(bank: str) -> None:
    """List the last hundred files of a bank."""
    from server.payments.banks import commands

    tenant = _settings().tenant
    click.echo(_read(lambda tx: commands.show_files(tx, tenant, bank)))


@bank_files.command("write")
@click.argument("file_id", type=click.UUID)
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
def bank_files_write(file_id: "UUID", path: Path) -> None:
    """Write a file to disk, to be given to the bank."""
    from server.payments.banks import commands

    tenant, vault = _settings().tenant, _vault()
    content = _with_database(lambda uow: commands.file_bytes(uow, vault, tenant, file_id))
    try:
        # It holds account numbers.
        path.touch(mode=0o600)
        path.write_bytes(content)
    except OSError as error:
        _fail(f"Cannot write {path}: {error.strerror}.")
    click.echo(f"Wrote {len(content)} bytes to {path}.")


@bank_files.command("handed-over")
@click.argument("file_id", type=click.UUID)
def bank_files_handed_over(file_id: "UUID") -> None:
    """Say that the bank has a file."""
    from server.payments.banks import commands

    tenant = _settings().tenant
    click.echo(_with_database(lambda uow: commands.hand_over(uow, tenant, file_id)))


@bank_files.command("answer")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--bank", required=True, help="Name or id of the bank that answered.")
def bank_files_answer(file: Path, bank: str) -> None:
    """Read a bank's answer to a file (pain.002): what it refuses is given back."""
    from server.payments.banks import commands

    tenant, data = _settings().tenant, file.read_bytes()
    click.echo(_with_database(lambda uow: commands.read_answer(uow, tenant, bank, data)))


@click.group("bank-statement")
def bank_statement() -> None:
    """Statements of partner banks (CAMT.053)."""


@bank_statement.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--bank", required=True, help="Name or id of the bank that it comes from.")
def bank_statement_import(file: Path, bank: str) -> None:
    """Settle our orders by a statement and compare it with our books; breaks are listed.

    \b
    Example:
      tallystick bank-statement import 2026-11-21.xml --bank "First Bank"
    """
    from server.payments.banks import commands

    tenant, data = _settings().tenant, file.read_bytes()
    click.echo(_with_database(lambda uow: commands.import_file(uow, tenant, bank, data)))


@click.group()
def rates() -> None:
    """Show, load and set the rates by which currencies are exchanged."""


@rates.command("show")
def rates_show() -> None:
    """Print the newest rate of each currency, its day and source, and whether it is stale."""
    from server.fx.officers import rate_lines
    from server.fx.rates import newest_rates

    chosen = _settings()

    async def look(tx: "Tx") -> list[str]:
        found = await newest_rates(tx, chosen.tenant)
        return rate_lines(found, tx.now.date(), chosen.fx_rate_age_max_days)

    for line in _read(look):
        click.echo(line)


@rates.command("load")
@click.argument("source", required=False)
def rates_load(source: str | None) -> None:
    """Load reference rates now, from a file or an address; that of the settings when left out.

    \b
    Example:
      tallystick rates load eurofxref-daily.xml
    """
    from server.fx import RatesUnavailable, load_rates, provider_of

    chosen = _settings()
    provider = provider_of(source or chosen.fx_rates_source)
    if provider is None:
        _fail("Name a file or an address, or set TALLYSTICK_FX_RATES_SOURCE.")
    try:
        changed = _with_database(lambda uow: load_rates(uow, provider, tenant=chosen.tenant))
    except RatesUnavailable as error:
        _fail(f"No rates could be loaded: {error}.")
    click.echo(f"New rates: {', '.join(sorted(changed)) or 'none'}.")


@rates.command("set")
@click.argument("currency")
@click.argument("rate")
@click.option("--reason", required=True, help="Why; it is kept for ever.")
@click.option(
    "--day", type=click.DateTime(["%Y-%m-%d"]), help="The day that it is of; today when left out."
)
def rates_set(currency: str, rate: str, reason: str, day: "datetime | None") -> None:
    """Set by hand how many units of a currency one euro is.

    It counts until a provider has a rate of a later day.

    \b
    Example:
      tallystick rates set KES 150.25 --reason "central bank of Kenya, 3 March"
    """
    from server.fx.officers import set_rate_as_operator

    tenant, on = _settings().tenant, None if day is None else day.date()
    made = _with_database(
        lambda uow: uow.run(
            lambda tx: set_rate_as_operator(tx, tenant, currency, rate, on=on, reason=reason)
        )
    )
    click.echo(f"One euro is {made.text} {made.currency} on {made.on}, set by an officer.")


@click.group("fx-terms")
def fx_terms() -> None:
    """Show and change spreads, and charges by pair of countries."""


@fx_terms.command("show")
def fx_terms_show() -> None:
    """Print the terms of exchange in force, as the JSON that `set` takes."""
    from server.fx.officers import terms_json

    tenant = _settings().tenant
    click.echo(_read(lambda tx: terms_json(tx, tenant)))


@fx_terms.command("set")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--reason", required=True, help="Why; it is kept for ever.")
@click.option(
    "--at",
    type=click.DateTime(["%Y-%m-%dT%H:%M", "%Y-%m-%d"]),
    help="From when on they hold (UTC); now when left out.",
)
def fx_terms_set(file: Path, reason: str, at: "datetime | None") -> None:
    """Store a new version of all terms of exchange, from a JSON file.

    \b
    Example:
      tallystick fx-terms set terms.json --reason "cheaper to Kenya" --at 2026-12-01
    """
    from server.fx.officers import set_terms_from_file

    tenant, text = _settings().tenant, file.read_bytes()
    version = _with_database(
        lambda uow: uow.run(
            lambda tx: set_terms_from_file(tx, tenant, text, reason=reason, effective_at=at)
        )
    )
    click.echo(f"Version {version.number} holds from {version.effective_at:%Y-%m-%d %H:%M} UTC on.")


@click.command("fx-report")
@_as_json
def fx_report(*, as_json: bool) -> None:
    """Print what exchanges left the house with in each currency, and what they earned.

    Ends with status 1 when the books are not the sums of the quotes that were taken.
    """
    from server.fx import fx_report as query

    tenant = _settings().tenant
    report = _read(lambda tx: query(tx, tenant))
    click.echo(json.dumps(report.as_json()) if as_json else report.as_text())
    if not report.adds_up:
        raise SystemExit(1)


@click.group()
def limits() -> None:
    """Show and change daily and monthly limits, and the levels of people."""


@limits.command("show")
def limits_show() -> None:
    """Print the limits in force, as the JSON that `set` takes."""
    from server.payments.limits.officers import rules_json

    tenant = _settings().tenant
    click.echo(_read(lambda tx: rules_json(tx, tenant)))


@limits.command("set")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--reason", required=True, help="Why; it is kept for ever.")
@click.option(
    "--at",
    type=click.DateTime(["%Y-%m-%dT%H:%M", "%Y-%m-%d"]),
    help="From when on they hold (UTC); now when left out.",
)
def limits_set(file: Path, reason: str, at: "datetime | None") -> None:
    """Store a new version of all limits, from a JSON file.

    \b
    Example:
      tallystick limits set limits.json --reason "holiday season" --at 2026-12-01
    """
    from server.payments.limits.officers import set_rules_from_file

    tenant, text = _settings().tenant, file.read_bytes()
    version = _with_database(
        lambda uow: uow.run(
            lambda tx: set_rules_from_file(tx, tenant, text, reason=reason, effective_at=at)
        )
    )
    click.echo(f"Version {version.number} holds from {version.effective_at:%Y-%m-%d %H:%M} UTC on.")


@limits.command("level")
@click.argument("username")
@click.argument("level", type=click.IntRange(0, 3))
@click.option("--reason", required=True, help="Why; it is kept for ever.")
def limits_level(username: str, level: int, reason: str) -> None:
    """Give a person a level, which decides about their limits from now on.

    \b
    Example:
      tallystick limits level ada 3 --reason "documents of 3 March"
    """
    from server.payments.limits.officers import give_level
    from server.payments.limits.schemas import LevelSet

    tenant, wanted = _settings().tenant, LevelSet(level=level, reason=reason)
    made = _with_database(lambda uow: uow.run(lambda tx: give_level(tx, tenant, username, wanted)))
    click.echo(f"{made.username} has level {made.level} now.")


def _with_payouts(work: "Callable[[PayoutDesk], Awaitable[T]]") -> T:
    """Do one thing with withdrawals and the workflows behind them."""
    from server.app import payout_desk
    from server.kit.clock import SystemClock
    from server.master_key import load_vault
    from server.payments.banks import BankApi, Carrier

    settings = _settings()

    async def run(uow: "UnitOfWork") -> T:
        api = BankApi(SystemClock())
        carrier = Carrier(uow, load_vault(settings), api, tenant=settings.tenant)
        desk = payout_desk(settings, uow, carrier)
        try:
            return await work(desk)
        finally:
            await desk.book.close()
            await api.close()

    return _with_database(run)


@click.group()
def workflows() -> None:
    """Workflows that failed beyond their retries: list, show, replay, give up."""


@workflows.command("list")
def workflows_list() -> None:
    """List what waits for a person."""
    from server.payments.payouts.commands import dead_letter_lines

    click.echo("\n".join(_with_payouts(dead_letter_lines)))


@workflows.command("show")
@click.argument("workflow")
@click.argument("key")
def workflows_show(workflow: str, key: str) -> None:
    """Show a workflow and its steps.

    \b
    Example:
      tallystick workflows show withdrawal 1.01a1ff27-8058-7000-b592-82f9d26cc15a
    """
    from server.payments.payouts.commands import workflow_lines

    click.echo("\n".join(_with_payouts(lambda desk: workflow_lines(desk, workflow, key))))


@workflows.command("replay")
@click.argument("workflow")
@click.argument("key")
def workflows_replay(workflow: str, key: str) -> None:
    """Run a dead workflow again from its first step. No step has its effect twice."""
    from server.payments.payouts.commands import replay_line

    click.echo(_with_payouts(lambda desk: replay_line(desk, workflow, key)))


@workflows.command("give-up")
@click.argument("workflow")
@click.argument("key")
@click.option("--reason", required=True, help="Why; it is kept.")
def workflows_give_up(workflow: str, key: str, reason: str) -> None:
    """Ask the bank once more, and give the money back if it paid nothing.

    \b
    Example:
      tallystick workflows give-up withdrawal 1.01a1ff27-8058-7000-b592-82f9d26cc15a \\
        --reason "the bank confirmed by telephone that nothing was paid"
    """
    from server.payments.payouts.commands import give_up_line

    click.echo(_with_payouts(lambda desk: give_up_line(desk, workflow, key, reason)))


@click.group("withdrawal-terms")
def withdrawal_terms() -> None:
    """Show and set minimum, maximum and fee of withdrawals."""


@withdrawal_terms.command("show")
def withdrawal_terms_show() -> None:
    """List the terms in force."""
    from server.payments.payouts.commands import terms_lines

    tenant = _settings().tenant
    click.echo("\n".join(_read(lambda tx: terms_lines(tx, tenant))))


@withdrawal_terms.command("set")
@click.argument("currency")
@click.option("--minimum", type=int, required=True, help="Minor units.")
@click.option("--maximum", type=int, required=True, help="Minor units.")
@click.option("--fee", type=int, required=True, help="Minor units.")
def withdrawal_terms_set(currency: str, minimum: int, maximum: int, fee: int) -> None:
    """Set the terms of a currency, for withdrawals from now on.

    \b
    Example:
      tallystick withdrawal-terms set TRY --minimum 10000 --maximum 5000000 --fee 500
    """
    from server.payments.payouts.domain import Terms
    from server.payments.payouts.terms import set_terms

    try:
        terms = Terms(currency, minimum, maximum, fee)
    except ValueError as error:
        _fail(str(error))
    tenant = _settings().tenant
    _with_database(lambda uow: uow.run(lambda tx: set_terms(tx, tenant, terms)))
    click.echo("They hold from now on.")


@click.group()
def events() -> None:
    """Show and replay what is told to others, also while no server is running."""


@events.command("replay")
@click.option("--from", "start", required=True, help="Number of an event, or a moment (UTC).")
@click.option("--until", type=click.IntRange(min=1), help="Number of the last event.")
@click.option("--topic", "topics", multiple=True, help="Only events of this topic; repeatable.")
@click.option("--to", "target", help="A broker's address, or - for lines of JSON.")
def events_replay(start: str, until: int | None, topics: tuple[str, ...], target: str) -> None:
    """Tell events once more, to the broker of the settings or to another.

    \b
    Examples:
      tallystick events replay --from 1200
      tallystick events replay --from 2026-03-02T09:00 --topic payments --to nats://reports:4222
      tallystick events replay --from 1 --to - > events.jsonl
    """
    from server.kit.brokers import BrokerUnsupported
    from server.notifications.event_commands import replay_to

    settings = _settings()
    target = target or settings.resolved_broker_url
    if not target:
        _fail("No broker is set. Say --to ADDRESS, or --to - for lines of JSON.")
    try:
        count = _with_database(
            lambda uow: replay_to(
                uow, settings.tenant, start=start, until=until, topics=topics, target=target
            )
        )
    except BrokerUnsupported as error:
        _fail(str(error))
    click.echo(f"{count} events told.", err=target == "-")


@events.command("readers")
@_as_json
def events_readers(*, as_json: bool) -> None:
    """Print who has read the events, and how far."""
    import msgspec

    from server.kit.event_readers import readers

    tenant = _settings().tenant
    found = _read(lambda tx: readers(tx, tenant))
    if as_json:
        click.echo(msgspec.json.encode({"readers": found}).decode())
        return
    for reader in found:
        click.echo(f"{reader.name}: at {reader.sequence}, {reader.behind} behind")


@events.command("dead-letters")
@click.option("--consumer", help="Only of this consumer.")
@_as_json
def events_dead_letters(consumer: str | None, *, as_json: bool) -> None:
    """Print the events that a consumer could not deal with, the first 1000."""
    import msgspec

    from server.kit.dead_letters import dead_letters

    tenant = _settings().tenant
    found = _read(lambda tx: dead_letters(tx, tenant, consumer=consumer, limit=1000))
    if as_json:
        click.echo(msgspec.json.encode({"dead_letters": found}).decode())
        return
    for letter in found:
        click.echo(
            f"{letter.sequence} {letter.type} {letter.event_id} {letter.consumer}: "
            f"{letter.state.value}, {letter.error}"
        )


@events.command("retry")
@click.argument("consumer")
@click.option("--id", "ids", type=click.UUID, multiple=True, help="Only this event; repeatable.")
def events_retry(consumer: str, ids: "tuple[UUID, ...]") -> None:
    """Have a consumer try its dead events again; a running server does it."""
    from server.kit.dead_letters import try_again

    tenant = _settings().tenant
    count = _with_database(
        lambda uow: uow.run(lambda tx: try_again(tx, tenant, consumer, event_ids=ids))
    )
    click.echo(f"{count} events are tried again.")

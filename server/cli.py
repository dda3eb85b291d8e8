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

    from server.kit.unit_of_work import Tx, UnitOfWork
    from server.offline import IssuerKeys
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
    click.echo("The schema is current.")


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
@_as_json
def trial_balance(*, as_json: bool) -> None:
    """Print the sum of every kind of account, by currency; each currency must come to zero."""
    from server.ledger import trial_balance as query

    tenant = _settings().tenant
    report = _read(lambda tx: query(tx, tenant))
    click.echo(json.dumps(report.as_json()) if as_json else report.as_text())
    if not report.balanced:
        raise SystemExit(1)


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

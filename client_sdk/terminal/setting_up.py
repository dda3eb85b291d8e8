"""Commands that make a wallet and move value between it and the account: these go online."""

import click

from client_sdk.blocking import BlockingWallet
from client_sdk.flows.claiming import ClaimPolicy
from client_sdk.flows.syncing import SyncReport
from client_sdk.terminal.opening import (
    PASSWORD_VARIABLE,
    Options,
    amount_of,
    say_amount,
    secret,
    wallet_command,
)
from client_sdk.terminal.output import Json, harmless, print_json

DECLINED = 4


@click.command()
@wallet_command
def init(options: Options) -> None:
    """Make a wallet file, encrypted with a passphrase.

    Examples:
      tallystick wallet init
      TALLYSTICK_WALLET=shop.db tallystick wallet init
    """
    passphrase = options.passphrase(new=True)
    with BlockingWallet.create(options.path, passphrase=passphrase) as wallet:
        key_id = wallet.key_id.hex()
    if options.as_json:
        print_json({"wallet": str(options.path), "key_id": key_id})
    else:
        click.echo(f"Made the wallet {options.path}. Next: tallystick wallet enrol --server URL")


@click.command()
@click.option("--server", required=True, help="Address of the server, such as https://pay.example.")
@click.option("--username", required=True, help="Username, phone number or e-mail address.")
@click.option("--device-name", default="wallet", show_default=True, help="Shown in the account.")
@click.option("--root-key", help="Id of the issuer's root key in hex, if you know it.")
@wallet_command
def enrol(
    options: Options, server: str, username: str, device_name: str, root_key: str | None
) -> None:
    """Sign in and make this wallet one of the account's devices.

    The password is taken from TALLYSTICK_PASSWORD or asked for.

    Example:
      tallystick wallet enrol --server http://127.0.0.1:8787 --username amina
    """
    password = secret(PASSWORD_VARIABLE, "Password of the account")
    with options.opened() as wallet:
        profile = wallet.enrol(
            server=server,
            username=username,
            password=password,
            device_name=device_name,
            root_key=_hex(root_key),
        )
        trust = wallet.trust()
        document = {
            **vars(profile),
            "key_id": wallet.key_id.hex(),
            "root_key_id": trust.root_key_id.hex(),
            "certificate_until": trust.certificate_until,
        }
    if options.as_json:
        print_json(document)
    else:
        click.echo(f"Enrolled as {profile.username} at {profile.server}.")
        click.echo(f"The issuer's root key: {document['root_key_id']}")


def _hex(text: str | None) -> bytes | None:
    try:
        return None if text is None else bytes.fromhex(text)
    except ValueError:
        raise click.BadParameter("write the id in hex", param_hint="--root-key") from None


@click.command()
@click.argument("amount")
@click.argument("currency")
@click.option("--card", required=True, help="The card gateway's token, such as sandbox-ok.")
@wallet_command
def topup(options: Options, amount: str, currency: str, card: str) -> None:
    """Add money to the account from a card.

    After an interruption give the same command again: the card is charged once.

    Example:
      tallystick wallet topup 100.00 EUR --card sandbox-ok
    """
    with options.opened() as wallet:
        minor, code = amount_of(wallet, amount, currency)
        done = wallet.top_up(minor, code, card)
        if options.as_json:
            print_json(vars(done))
        else:
            reason = f" ({done.reason})" if done.reason else ""
            said = harmless(f"{done.status}{reason}")
            click.echo(f"{say_amount(wallet, done.amount, done.currency)}: {said}")
    if done.status == "declined":
        click.get_current_context().exit(DECLINED)


@click.command()
@click.argument("amount")
@click.argument("currency")
@wallet_command
def load(options: Options, amount: str, currency: str) -> None:
    """Move value from the account onto this device, to pay without a network.

    Example:
      tallystick wallet load 60.00 EUR
    """
    with options.opened() as wallet:
        minor, code = amount_of(wallet, amount, currency)
        done = wallet.load(minor, code)
        if options.as_json:
            print_json(vars(done))
        else:
            click.echo(f"{say_amount(wallet, done.amount, done.currency)} is on this device now.")


@click.command()
@click.argument("what", nargs=-1, required=True, metavar="[AMOUNT] CURRENCY")
@wallet_command
def unload(options: Options, what: tuple[str, ...]) -> None:
    """Move value from this device back to the account; without an amount, all of it.

    Examples:
      tallystick wallet unload 10.00 EUR
      tallystick wallet unload EUR
    """
    if len(what) > 2:  # noqa: PLR2004 -- amount and currency
        raise click.UsageError("Give an amount and a currency, or a currency alone.")
    with options.opened() as wallet:
        minor = None if len(what) == 1 else amount_of(wallet, what[0], what[1])[0]
        report = wallet.unload(what[-1], minor)
        _print_report(options, wallet, report)


@click.command()
@click.option(
    "--claim",
    type=click.Choice([policy.value for policy in ClaimPolicy]),
    help="From now on, hand in for credit: all that was received (the default), only what can no "
    "longer be spent, or nothing.",
)
@wallet_command
def sync(options: Options, claim: str | None) -> None:
    """Hand in what happened offline, and learn what happened elsewhere.

    Safe to repeat and to interrupt.

    Examples:
      tallystick wallet sync
      tallystick wallet sync --claim nothing --json
    """
    with options.opened() as wallet:
        if claim is not None:
            wallet.set_claim_policy(ClaimPolicy(claim))
        _print_report(options, wallet, wallet.sync())


def _print_report(options: Options, wallet: BlockingWallet, report: SyncReport) -> None:
    if options.as_json:
        print_json(report_json(report))
        return
    click.echo(f"Handed in {report.uploaded} records.")
    for currency, amount in sorted(report.credited.items()):
        click.echo(f"Credited to your account: {say_amount(wallet, amount, currency)}")
    for event in report.events:
        if event.get("type") == "fork_found":
            role = harmless(str(event.get("role")))
            click.echo(f"Double spending found; you are the {role}.")
    for refused in report.refused:
        said = harmless(f"{refused['code']}: {refused['detail']}")
        click.echo(f"Refused: {refused['kind']} {said}")
    if report.waiting:
        click.echo(f"{report.waiting} records wait for others to come in.")
    if report.certificate_refused:
        reason = harmless(report.certificate_refused)
        click.echo(f"This device's certificate is not renewed: {reason}")


def report_json(report: SyncReport) -> Json:
    """Stable names; `events` are the server's own."""
    return {
        "uploaded": report.uploaded,
        "waiting": report.waiting,
        "refused": report.refused,
        "credited": report.credited,
        "certificate_until": report.certificate_until,
        "certificate_refused": report.certificate_refused,
        "missing_sequences": report.missing_sequences,
        "events": report.events,
    }

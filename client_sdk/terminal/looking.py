"""Commands that only look: balance, history, show."""

import click

from client_sdk.core import State
from client_sdk.records import Role
from client_sdk.terminal.codes import CodeOut, show_frame, shows_codes
from client_sdk.terminal.doubt import say_doubt
from client_sdk.terminal.exchanging import find
from client_sdk.terminal.opening import Options, say_amount, wallet_command
from client_sdk.terminal.output import (
    exchange_json,
    exchange_line,
    frame_json,
    print_json,
)


@click.command()
@click.option("--online", is_flag=True, help="Ask the server for the account's balances too.")
@wallet_command
def balance(options: Options, *, online: bool) -> None:
    """Show what this device holds and can pay with, without a network.

    Examples:
      tallystick wallet balance
      tallystick wallet balance --online --json
    """
    with options.opened() as wallet:
        held = wallet.balance()
        account = wallet.account() if online else []
        if options.as_json:
            document: dict[str, object] = {"offline": [vars(one) for one in held]}
            if online:
                document["account"] = [vars(one) for one in account]
            print_json(document)
            return
        if not held:
            click.echo("Nothing is held on this device.")
        for one in held:
            click.echo(f"On this device: {say_amount(wallet, one.spendable, one.currency)}")
            for label, amount in (
                ("sent, not confirmed", one.unconfirmed),
                ("past its date, handed in at the next sync", one.expired),
                ("handed in, not settled", one.claimed),
                ("of an earlier key, comes to your account after its date", one.returning),
            ):
                if amount:
                    click.echo(f"  {label}: {say_amount(wallet, amount, one.currency)}")
        for each in account:
            click.echo(f"On the account: {say_amount(wallet, each.available, each.currency)}")


@click.command()
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="How many, newest first.",
)
@wallet_command
def history(options: Options, limit: int) -> None:
    """List requests, payments, returns and claims, newest first.

    Example:
      tallystick wallet history --limit 5
    """
    with options.opened() as wallet:
        found = wallet.history(limit=limit)
        if options.as_json:
            items = [exchange_json(one, wallet.scale(one.currency)) for one in found]
            print_json({"items": items})
            return
        for one in found:
            click.echo(exchange_line(one, wallet.scale(one.currency)))
            say_doubt(wallet, one)


@click.command()
@click.argument("exchange_id", metavar="[ID]", required=False)
@shows_codes("--qr-out")
@wallet_command
def show(options: Options, exchange_id: str | None, qr_out: CodeOut) -> None:
    """Show this wallet, or one exchange with its code again.

    Examples:
      tallystick wallet show
      tallystick wallet show 3f9c0d
      tallystick wallet show 3f9c0d --qr-out again.gif --animate
    """
    with options.opened() as wallet:
        if exchange_id is None:
            profile, key_id = wallet.profile(), wallet.key_id.hex()
            document: dict[str, object] = {
                "wallet": str(options.path),
                "key_id": key_id,
                "restored": wallet.restored,
            }
            if profile is not None:
                trust = wallet.trust()
                document |= {
                    **vars(profile),
                    **vars(trust),
                    "root_key_id": trust.root_key_id.hex(),
                }
            if options.as_json:
                print_json(document)
                return
            for name, value in document.items():
                click.echo(f"{name.replace('_', ' '):<18}{value}")
            return
        exchange = find(wallet, exchange_id)
        digits = wallet.scale(exchange.currency)
        shown = exchange_json(exchange, digits)
        if exchange.role is Role.CLAIM or exchange.state is State.LOCKED:
            files, frame = [], None
        else:
            frame = wallet.frame_of(exchange.id)
            files = show_frame(
                frame, qr_out, as_json=options.as_json, title=exchange_line(exchange, digits)
            )
        if options.as_json:
            print_json({"exchange": shown, **(frame_json(frame, files) if frame else {})})
            return
        if frame is None:
            click.echo(exchange_line(exchange, digits))
        say_doubt(wallet, wallet.exchange(exchange.id))

"""Words about what is not certain: a payment without an answer, a wallet put back from a copy."""

from datetime import UTC, datetime
from typing import Final

import click

from client_sdk.blocking import BlockingWallet
from client_sdk.core import UNCONFIRMED, State
from client_sdk.money import format_amount
from client_sdk.records import Role
from client_sdk.views import ExchangeView

RESUME: Final = "`tallystick wallet pay --resume`"
_RESTORED: Final = (
    "Note: this wallet file is an older copy, or was moved here by itself. It may have forgotten "
    "payments, so it signs nothing: it can be looked at and synced, not pay or be paid. "
    "`tallystick wallet enrol` gives this device a new key; what the old key held comes to your "
    "account by itself, at the latest after the claim-by date."
)


def doubt_lines(wallet: BlockingWallet, view: ExchangeView) -> list[str]:
    """What an unconfirmed payment means and what to do about it; nothing for all others."""
    if view.role is not Role.PAY or view.state not in UNCONFIRMED | {State.LOCKED}:
        return []
    amount = format_amount(view.amount, view.currency, digits=wallet.scale(view.currency))
    end = wallet.decided_by(view.id)
    date = "" if end is None else f" on {datetime.fromtimestamp(end, UTC).date().isoformat()}"
    if view.state is State.LOCKED and wallet.restored:
        return [f"Set aside by a copy of this wallet; the issuer decides about it{date}."]
    if view.state in {State.LOCKED, State.SIGNED}:
        return [
            f"{amount} are set aside for this payment, and nothing has left this device yet.",
            f"What to do: show it to the payee with {RESUME}.",
        ]
    meaning = (
        f"{amount} were sent and no answer has come back. The payee may have them or not, so they "
        "stay locked: waiting alone never frees them."
    )
    to_do = (
        f"What to do: show the same code again with {RESUME}; it never pays twice. The payee's "
        "device answers with the receipt, or signs the payment back (`tallystick wallet return`). "
        "Or sync while online: the server may know the answer."
    )
    lines = [meaning, to_do, f"If nobody ever answers, the issuer decides{date}; nothing is lost."]
    if view.refusal:
        lines.append(
            f"The other device said {view.refusal!r}. That is not signed and decides nothing."
        )
    return lines


def say_doubt(wallet: BlockingWallet, view: ExchangeView) -> None:
    """Print `doubt_lines`, indented under what was said before."""
    for line in doubt_lines(wallet, view):
        click.echo(f"  {line}")


def remind(wallet: BlockingWallet, before: set[bytes]) -> None:
    """After a command: an old copy, and payments that were unconfirmed before it and still are."""
    if wallet.restored:
        click.echo(_RESTORED, err=True)
    for one in wallet.unconfirmed():
        if one.id not in before:
            continue
        amount = format_amount(one.amount, one.currency, digits=wallet.scale(one.currency))
        whom = f" to {one.peer_name}" if one.peer_name else ""
        click.echo(
            f"Note: {amount}{whom}: {one.words}; the amount stays locked until there is an answer. "
            f"Show it again with {RESUME}, or sync. More: `tallystick wallet show "
            f"{one.id.hex()[:16]}`.",
            err=True,
        )

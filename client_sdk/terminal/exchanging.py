"""Commands that work without a network: ask, pay, receive, return."""

import sys
from functools import partial
from pathlib import Path
from typing import Final

import click

from client_sdk.blocking import BlockingWallet
from client_sdk.core import State
from client_sdk.errors import InvalidAmount, LinkClosed, UnknownExchange
from client_sdk.flows.receiving import Answer
from client_sdk.terminal.codes import (
    ANSWERS,
    REQUESTS,
    CodeIn,
    CodeOut,
    read_frame,
    reads_codes,
    show_frame,
    shows_codes,
)
from client_sdk.terminal.doubt import say_doubt
from client_sdk.terminal.meeting import Meeting, Search, looks_for_payees, meeting
from client_sdk.terminal.opening import Options, amount_of, say_amount, wallet_command
from client_sdk.terminal.output import (
    exchange_json,
    exchange_line,
    frame_json,
    print_json,
)
from client_sdk.terminal.risk import accepts_warnings, confirmer, take
from client_sdk.terminal.waiting import Waiting, Ways, waiting, waits_for_payers
from client_sdk.transports.carriers import reachable
from client_sdk.views import ExchangeView, Incoming, RequestShown

MINUTES_MAX: Final = 7 * 24 * 60
UNCONFIRMED: Final = 3
"""Exit code: the payment was sent and is not confirmed."""


@click.command()
@click.argument("amount", required=False)
@click.argument("currency", required=False)
@click.option("--memo", help="A line that the payer sees.")
@shows_codes("--qr")
@waits_for_payers
@click.option("--linger", default=20.0, show_default=True, help="Seconds to wait after payment.")
@click.option(
    "--minutes",
    type=click.IntRange(1, MINUTES_MAX),
    default=15,
    show_default=True,
    help="How long it may be paid.",
)
@click.option("--again", metavar="ID", help="Show and serve an earlier request again.")
@accepts_warnings
@wallet_command
def request(
    options: Options,
    *,
    amount: str | None,
    currency: str | None,
    memo: str | None,
    qr_out: CodeOut,
    ways: Ways,
    linger: float,
    minutes: int,
    again: str | None,
    accept_warnings: bool,
) -> None:
    """Ask for an amount: shows a code for the payer to scan. Needs no network.

    With --lan this waits until the payer has paid over the local network, with --announce also for
    payers without the code, with --ble by Bluetooth, and with --nfc for a touch. With --json that
    prints two lines, one when it listens and one when it is paid, and for --announce and --nfc the
    six digits in between.

    Examples:
      tallystick wallet request 12.50 EUR --memo tea
      tallystick wallet request 12.50 EUR --qr request.png
      tallystick wallet request 12.50 EUR --animate --speed slow
      tallystick wallet request 12.50 EUR --lan --listen 192.0.2.7:4100
      tallystick wallet request 12.50 EUR --announce
      tallystick wallet request 12.50 EUR --ble usb:0
      tallystick wallet request 12.50 EUR --nfc
    """
    with options.opened() as wallet:
        ask = partial(
            _ask,
            wallet,
            amount=amount,
            currency=currency,
            memo=memo,
            minutes=minutes,
            again=again,
        )
        if ways.none:
            _show_request(options, wallet, ask(transports=()), qr_out)
            return
        earlier = find(wallet, again).transports if again is not None else ()
        with waiting(wallet, ways, earlier=earlier) as here:
            shown = ask(transports=here.addresses)
            _show_request(options, wallet, shown, qr_out, here)
            paid = here.serve(
                shown.exchange,
                linger=linger,
                as_json=options.as_json,
                confirm=confirmer(wallet, options, accept_warnings=accept_warnings),
            )
        _print_exchange(options, wallet, paid)


def _ask(
    wallet: BlockingWallet,
    *,
    amount: str | None,
    currency: str | None,
    memo: str | None,
    minutes: int,
    again: str | None,
    transports: tuple[str, ...],
) -> RequestShown:
    if again is not None:
        exchange = find(wallet, again)
        return RequestShown(exchange=exchange, frame=wallet.request_frame(exchange.id))
    if amount is None or currency is None:
        raise click.UsageError("Give an amount and a currency, such as 12.50 EUR.")
    minor, code = amount_of(wallet, amount, currency)
    return wallet.request_payment(
        minor, code, memo=memo, transports=transports, lifetime_seconds=minutes * 60
    )


def _show_request(
    options: Options,
    wallet: BlockingWallet,
    shown: RequestShown,
    qr_out: CodeOut,
    here: Waiting | None = None,
) -> None:
    amount = say_amount(wallet, shown.exchange.amount, shown.exchange.currency)
    files = show_frame(
        shown.frame,
        qr_out,
        as_json=options.as_json,
        title=f"Asking for {amount}. Scan to pay:",
        may_wait=here is None,
    )
    if options.as_json:
        document = exchange_json(shown.exchange, wallet.scale(shown.exchange.currency))
        reached = {} if here is None else here.reached
        print_json({"exchange": document, **frame_json(shown.frame, files), **reached})
    elif here is not None:
        click.echo(f"Waiting for the payer at {', '.join(here.addresses)}")


@click.command()
@click.argument("text", required=False)
@reads_codes
@shows_codes("--qr-out")
@looks_for_payees
@click.option("--amount", help="The amount, when the request leaves it to you.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--resume", is_flag=True, help="Send or show unconfirmed payments again.")
@click.option("--show-only", is_flag=True, help="Show the code even if the payee listens.")
@wallet_command
def pay(
    options: Options,
    *,
    text: str | None,
    codes: CodeIn,
    qr_out: CodeOut,
    search: Search,
    amount: str | None,
    yes: bool,
    resume: bool,
    show_only: bool,
) -> None:
    """Pay a request, given as text, as a picture, or on standard input. Needs no internet.

    To where the payee waits, else by a code to show. With --lan the request is found on the local
    network, and the digits on the payee's screen are asked for; with --nfc a touch brings it, and
    takes the payment too if the payee is not reached in another way. The exit code is 3
    when the payment was sent and is not confirmed: it is not lost, and not paid twice when you
    send it again with --resume.

    Examples:
      tallystick wallet pay --qr request.png --qr-out payment.png
      tallystick wallet pay --webcam --qr-out payment.gif --speed slow
      tallystick wallet pay 'TALLY1:...' --yes
      tallystick wallet pay --nfc
      tallystick wallet pay --resume
    """
    with options.opened() as wallet, meeting(wallet, search) as here:
        if resume:
            _resume(options, wallet, qr_out, here, show_only=show_only)
            return
        given = text is not None or codes.pictures or codes.camera is not None
        seek = not (search.none or given)
        message = here.find() if seek else read_frame(text, codes, wanted=REQUESTS)
        asked = wallet.inspect(message)
        minor = asked.amount
        if amount is not None:
            minor = amount_of(wallet, amount, asked.currency)[0]
        if minor == 0:
            raise InvalidAmount(
                "The request leaves the amount to you.", fix="Give it: --amount 12.50"
            )
        name = asked.payee_name or f"the unnamed key {asked.payee_key.hex()[:16]}"
        memo = f" for {asked.memo!r}" if asked.memo else ""
        if not yes:
            worth = say_amount(wallet, minor, asked.currency)
            click.confirm(f"Pay {worth} to {name}{memo}?", abort=True, err=True)
        payment = wallet.pay(message, amount=minor or None)
        _hand_over(options, wallet, payment, qr_out, here, show_only=show_only)


def _resume(
    options: Options, wallet: BlockingWallet, qr_out: CodeOut, here: Meeting, *, show_only: bool
) -> None:
    waiting = wallet.unconfirmed()
    if not waiting:
        raise UnknownExchange("No payment waits for a confirmation.", code="nothing_to_resume")
    for number, payment in enumerate(waiting, start=1):
        _hand_over(options, wallet, payment, qr_out.numbered(number), here, show_only=show_only)


def _hand_over(
    options: Options,
    wallet: BlockingWallet,
    payment: ExchangeView,
    qr_out: CodeOut,
    here: Meeting,
    *,
    show_only: bool,
) -> None:
    """Send a payment to a payee who listens, or show it."""
    listens = reachable(payment.transports, here.dials)
    if listens and not show_only and payment.state is not State.ACKED:
        try:
            payment = here.hand_over(payment)
        except LinkClosed as error:
            click.echo(f"{error.detail} Showing the code instead.", err=True)
        else:
            _print_exchange(options, wallet, payment)
            if payment.state in {State.SENT, State.IN_DOUBT}:
                click.get_current_context().exit(UNCONFIRMED)
            return
    frame = wallet.frame_of(payment.id)
    payment = wallet.exchange(payment.id)
    amount = say_amount(wallet, payment.amount, payment.currency)
    title = f"{amount}: {payment.words}. Let the payee scan this:"
    files = show_frame(frame, qr_out, as_json=options.as_json, title=title)
    if options.as_json:
        document = exchange_json(payment, wallet.scale(payment.currency))
        print_json({"exchange": document, **frame_json(frame, files)})


@click.command()
@click.argument("text", required=False)
@reads_codes
@shows_codes("--qr-out")
@click.option("--return", "give_back", is_flag=True, help="Sign the payment back to the payer.")
@accepts_warnings
@wallet_command
def receive(
    options: Options,
    *,
    text: str | None,
    codes: CodeIn,
    qr_out: CodeOut,
    give_back: bool,
    accept_warnings: bool,
) -> None:
    """Take what the other person shows: a payment, a receipt, a return, or a proof.

    A payment is checked completely on this device and stored before "paid" is shown; then its
    receipt is shown for the payer. Where the rules warn of it you are asked; what you do not take,
    and what the rules refuse, is signed back, so that its value is not stuck at the payer.

    Examples:
      tallystick wallet receive --qr payment.png --qr-out receipt.png
      tallystick wallet receive --qr payment.gif
      tallystick wallet receive --qr 1.jpg --qr 2.jpg --qr 3.jpg
      tallystick wallet receive --webcam
      tallystick wallet receive 'TALLY1:...'
    """
    with options.opened() as wallet:
        incoming = take(
            options,
            wallet,
            read_frame(text, codes, wanted=ANSWERS),
            accept_warnings=accept_warnings,
            give_back=give_back,
        )
        if give_back and incoming.exchange and incoming.answer is not Answer.SENT_BACK:
            incoming = wallet.return_payment(incoming.exchange.id)
        _show_incoming(options, wallet, incoming, qr_out)


@click.command("return")
@click.argument("exchange_id", metavar="ID")
@shows_codes("--qr-out")
@wallet_command
def return_(options: Options, exchange_id: str, qr_out: CodeOut) -> None:
    """Sign a received payment back to its payer: a refund, or a cancelled payment.

    ID is the beginning of an id in `tallystick wallet history`.

    Example:
      tallystick wallet return 3f9c0d --qr-out return.png
    """
    with options.opened() as wallet:
        incoming = wallet.return_payment(find(wallet, exchange_id).id)
        _show_incoming(options, wallet, incoming, qr_out)


def _show_incoming(
    options: Options, wallet: BlockingWallet, incoming: Incoming, qr_out: CodeOut
) -> None:
    exchange = incoming.exchange
    files: list[Path] = []
    if not options.as_json:
        if exchange is not None:
            amount = say_amount(wallet, exchange.amount, exchange.currency)
            click.secho(f"{amount}: {exchange.words}", bold=True)
            if exchange.refusal:
                click.echo(f"Reason: {exchange.refusal}")
        if incoming.refusal is not None:
            click.echo(f"The other side says: {incoming.refusal}. Nothing has changed.")
        if incoming.convicted is not None:
            click.echo(f"The proof holds; key {incoming.convicted.hex()[:16]} is refused from now.")
    if incoming.frame is not None:
        files = show_frame(
            incoming.frame, qr_out, as_json=options.as_json, title="For the payer to scan:"
        )
    if options.as_json:
        print_json(
            {
                "kind": incoming.kind.name.lower(),
                "answer": incoming.answer.value if incoming.answer else None,
                "exchange": exchange and exchange_json(exchange, wallet.scale(exchange.currency)),
                "refusal": incoming.refusal,
                "convicted": incoming.convicted.hex() if incoming.convicted else None,
                **(frame_json(incoming.frame, files) if incoming.frame else {}),
            }
        )


def _print_exchange(options: Options, wallet: BlockingWallet, exchange: ExchangeView) -> None:
    digits = wallet.scale(exchange.currency)
    if options.as_json:
        print_json({"exchange": exchange_json(exchange, digits)})
        return
    click.echo(exchange_line(exchange, digits))
    say_doubt(wallet, exchange)


def find(wallet: BlockingWallet, beginning: str) -> ExchangeView:
    """The exchange whose id, in hex, begins like this.

    Raises:
        UnknownExchange: there is none, or more than one.
    """
    found = [
        one
        for one in wallet.history(limit=sys.maxsize)
        if beginning and one.id.hex().startswith(beginning.lower())
    ]
    if len(found) != 1:
        count = "No exchange" if not found else f"{len(found)} exchanges"
        raise UnknownExchange(
            f"{count} of this wallet begins with {beginning!r}.",
            fix="`tallystick wallet history` lists them.",
        )
    return found[0]

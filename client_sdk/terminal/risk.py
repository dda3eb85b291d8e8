"""What speaks against a payment, in words, and the rules that say so."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import click

from client_sdk.blocking import BlockingWallet
from client_sdk.errors import PaymentNeedsConfirmation
from client_sdk.flows.accepting import Assessment, make_rule
from client_sdk.flows.risk_words import say_facts
from client_sdk.flows.serving import Confirm
from client_sdk.terminal.opening import Options, amount_of, wallet_command
from client_sdk.terminal.output import Json, print_json
from client_sdk.views import Incoming, RuleView
from offline_protocol.acceptance import Verdict

T = TypeVar("T")

DAY_SECONDS = 86_400
ACTIONS = {"warn": Verdict.WARN, "refuse": Verdict.REFUSE}


def accepts_warnings(command: Callable[..., T]) -> Callable[..., T]:
    """Add the option; the command gets `accept_warnings`."""
    return click.option(
        "--accept-warnings",
        is_flag=True,
        help="Take payments that the rules warn of, without asking.",
    )(command)


def say_assessment(wallet: BlockingWallet, found: Assessment) -> list[str]:
    """Lines for the person who decides."""
    lines = [f"- {each.words}" for each in found.concerns]
    return [f"This payment is genuine: {say_facts(wallet.wallet.book, found.facts)}.", *lines]


def take(
    options: Options,
    wallet: BlockingWallet,
    message: bytes | str,
    *,
    accept_warnings: bool,
    give_back: bool,
) -> Incoming:
    """Take a message; where the rules warn of a payment, a person decides.

    Raises:
        PaymentNeedsConfirmation: there is a warning, and a program reads what is printed.
    """
    try:
        return wallet.receive(message, accept_warnings=accept_warnings)
    except PaymentNeedsConfirmation as question:
        if options.as_json and not give_back:
            raise
        lines = say_assessment(wallet, question.assessment)
    taken = not give_back and ask(lines)
    return wallet.receive(message, accept_warnings=taken, give_back=not taken)


def ask(lines: list[str]) -> bool:
    """Let the person decide; without one at the terminal the answer is no."""
    for line in lines:
        click.echo(line, err=True)
    try:
        return click.confirm("Take it all the same? (No gives it back to the payer.)", err=True)
    except click.Abort:
        return False


def confirmer(wallet: BlockingWallet, options: Options, *, accept_warnings: bool) -> Confirm | None:
    """Who decides while this device waits for payers: the option, a person, or nobody."""
    if options.as_json and not accept_warnings:
        return None

    async def confirm(found: Assessment) -> bool:
        if accept_warnings:
            return True
        # The question may stay open for a while; the connection lives on meanwhile.
        return await asyncio.to_thread(ask, say_assessment(wallet, found))

    return confirm


@click.group()
def rules() -> None:
    """Show and change what payments this wallet takes.

    The issuer's rules always count; your own can only make the wallet stricter.
    """


@rules.command("show")
@wallet_command
def show_rules(options: Options) -> None:
    """List the issuer's rules and your own.

    Example:
      tallystick wallet rules show
    """
    with options.opened() as wallet:
        _print(options, wallet.acceptance_rules())


@rules.command("add")
@click.argument("action", type=click.Choice(sorted(ACTIONS)))
@click.option("--amount-over", metavar="AMOUNT CURRENCY", nargs=2, help="Larger payments.")
@click.option("--currency", help="Payments in this currency only.")
@click.option("--hops-over", type=int, help="Value that changed hands more often.")
@click.option("--certificate-days-over", type=int, help="Older words of the issuer about payers.")
@click.option("--list-days-over", type=int, help="An older list of blocked devices on this device.")
@click.option("--software-keys", is_flag=True, help="Keys that are kept in software.")
@wallet_command
def add_rule(
    options: Options,
    *,
    action: str,
    amount_over: tuple[str, str] | None,
    currency: str | None,
    hops_over: int | None,
    certificate_days_over: int | None,
    list_days_over: int | None,
    software_keys: bool,
) -> None:
    """Add a rule of your own; all its conditions have to hold.

    Examples:
      tallystick wallet rules add warn --amount-over 50.00 EUR --list-days-over 2
      tallystick wallet rules add refuse --hops-over 3
    """
    with options.opened() as wallet:
        minor: int | None = None
        if amount_over is not None:
            minor, currency = amount_of(wallet, *amount_over)
        wallet.add_rule(
            make_rule(
                ACTIONS[action],
                currency=currency,
                amount_over=minor,
                hops_over=hops_over,
                certificate_age_over=_seconds(certificate_days_over),
                revocation_age_over=_seconds(list_days_over),
                assurance_under=2 if software_keys else None,
            )
        )
        _print(options, wallet.acceptance_rules())


@rules.command("remove")
@click.argument("number", type=int)
@wallet_command
def remove_rule(options: Options, number: int) -> None:
    """Remove a rule of your own, by its number in the list.

    Example:
      tallystick wallet rules remove 1
    """
    with options.opened() as wallet:
        wallet.remove_rule(number)
        _print(options, wallet.acceptance_rules())


@rules.command("share-tags")
@click.argument("answer", type=click.Choice(["yes", "no"]))
@wallet_command
def share_tags(options: Options, answer: str) -> None:
    """Choose whether this device tells others which pieces of value it has seen.

    That finds double spending early. Who hears it learns no names and no keys, but can tell whether
    it has met the same piece itself.

    Example:
      tallystick wallet rules share-tags no
    """
    with options.opened() as wallet:
        wallet.set_share_tags(share=answer == "yes")
        if options.as_json:
            print_json({"share_tags": wallet.shares_tags})
        else:
            click.echo(
                f"What this device has seen is {'told' if wallet.shares_tags else 'not told'}."
            )


def _print(options: Options, found: list[RuleView]) -> None:
    if options.as_json:
        print_json({"rules": [_json(each) for each in found]})
        return
    if not found:
        click.echo("There are no rules: every genuine payment is taken.")
    for each in found:
        whose = "issuer" if each.number is None else f"{each.number}"
        click.echo(f"{whose:>6}  {each.words}")


def _json(view: RuleView) -> Json:
    rule = view.rule
    return {
        "number": view.number,
        "whose": "issuer" if view.number is None else "own",
        "action": rule.action.name.lower(),
        "words": view.words,
        "currency": rule.currency,
        "amount_over": rule.amount_over,
        "hops_over": rule.hops_over,
        "certificate_age_over": rule.certificate_age_over,
        "revocation_age_over": rule.revocation_age_over,
        "assurance_under": rule.assurance_under,
    }


def _seconds(days: int | None) -> int | None:
    return None if days is None else days * DAY_SECONDS

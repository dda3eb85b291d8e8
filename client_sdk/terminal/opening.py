"""Options that all wallet commands share, and opening the wallet they name."""

import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import click

from client_sdk.blocking import BlockingWallet
from client_sdk.errors import WalletError
from client_sdk.money import format_amount, parse_amount, parse_currency
from client_sdk.terminal.doubt import remind
from client_sdk.terminal.layout import keep_layout
from client_sdk.terminal.output import print_error
from client_sdk.terminal.own_trouble import warn_about

P = ParamSpec("P")
T = TypeVar("T")

WALLET_VARIABLE: Final = "TALLYSTICK_WALLET"
PASSPHRASE_VARIABLE: Final = "TALLYSTICK_PASSPHRASE"  # noqa: S105 -- the name of a variable
PASSWORD_VARIABLE: Final = "TALLYSTICK_PASSWORD"  # noqa: S105 -- the name of a variable
DEFAULT_WALLET: Final = "~/.local/share/tallystick/wallet.db"


@dataclass(frozen=True)
class Options:
    """What every wallet command knows."""

    path: Path
    passphrase_file: Path | None
    as_json: bool

    def passphrase(self, *, new: bool = False) -> str:
        """From the file, the environment, or a question."""
        if self.passphrase_file is not None:
            try:
                found = self.passphrase_file.read_text(encoding="utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                raise click.ClickException(f"The passphrase file cannot be read: {error}") from None
            if not found:
                raise click.ClickException(f"The passphrase file {self.passphrase_file} is empty.")
            return found
        return secret(PASSPHRASE_VARIABLE, "Passphrase of the wallet", new=new)

    @contextmanager
    def opened(self) -> Iterator[BlockingWallet]:
        """The wallet; afterwards a line says when something stays sent and not confirmed."""
        with BlockingWallet.open(self.path, passphrase=self.passphrase()) as wallet:
            before = {one.id for one in wallet.unconfirmed()}
            yield wallet
            if not self.as_json:
                remind(wallet, before)
                warn_about(wallet)

    def run(self, work: Callable[[BlockingWallet], T]) -> T:
        with self.opened() as wallet:
            return work(wallet)


def secret(variable: str, question: str, *, new: bool = False) -> str:
    """A secret from the environment, else asked for without showing it."""
    found = os.environ.get(variable)
    if found:
        return found
    answer: str = click.prompt(question, hide_input=True, confirmation_prompt=new, err=True)
    return answer


def wallet_command(
    function: Callable[Concatenate[Options, P], T],
) -> Callable[..., T]:
    """Add the shared options, and turn the wallet's errors into messages and exit code 1."""

    @click.option(
        "--wallet",
        "wallet_path",
        type=click.Path(dir_okay=False, path_type=Path),
        envvar=WALLET_VARIABLE,
        default=DEFAULT_WALLET,
        show_default=True,
        show_envvar=True,
        help="The wallet file.",
    )
    @click.option(
        "--passphrase-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help=f"File with the passphrase (else ${PASSPHRASE_VARIABLE}, else you are asked).",
    )
    @click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
    @functools.wraps(keep_layout(function))
    def call(
        *args: Any,
        wallet_path: Path,
        passphrase_file: Path | None,
        as_json: bool,
        **kwargs: Any,
    ) -> T:
        options = Options(wallet_path.expanduser(), passphrase_file, as_json)
        try:
            return function(options, *args, **kwargs)
        except WalletError as error:
            print_error(error, as_json=as_json)
            sys.exit(1)

    return call


def amount_of(wallet: BlockingWallet, text: str, currency: str) -> tuple[int, str]:
    """Minor units and code of what was typed."""
    code = parse_currency(currency)
    return parse_amount(text, code, digits=wallet.scale(code)), code


def say_amount(wallet: BlockingWallet, amount: int, currency: str) -> str:
    return format_amount(amount, currency, digits=wallet.scale(currency))

"""The commands `tallystick wallet`, `tallystick proof` and `tallystick check-liabilities`."""

import click

from client_sdk.terminal import exchanging, looking, proving, risk, setting_up
from client_sdk.terminal.layout import keep_layout
from client_sdk.terminal.liabilities import check_liabilities

__all__ = ["check_liabilities", "proof", "wallet"]


@click.group()
@keep_layout
def wallet() -> None:
    """Hold, pay and receive money on this device, also offline.

    When to use which:
      once, online     init, enrol, topup, load
      in the shop      request, pay, receive, return, balance, history, show  (no network)
      now and then     sync, unload, rules

    The wallet file is --wallet or TALLYSTICK_WALLET; its passphrase is asked for, or comes from
    TALLYSTICK_PASSPHRASE or --passphrase-file. Every command can print --json.
    """


@click.group()
def proof() -> None:
    """Check a fraud proof on its own."""


for _command in (
    setting_up.init,
    setting_up.enrol,
    setting_up.topup,
    setting_up.load,
    setting_up.unload,
    setting_up.sync,
    exchanging.request,
    exchanging.pay,
    exchanging.receive,
    exchanging.return_,
    looking.balance,
    looking.history,
    looking.show,
    risk.rules,
):
    wallet.add_command(_command)
proof.add_command(proving.verify)

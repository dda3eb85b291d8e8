"""A till: asks for an amount, shows the code, waits, and says when it is paid.

    python till.py till.db 25.00 EUR

`wallet.py new` makes the file. The payer has to be on the same network; no server is needed.
"""

import asyncio
import os
import sys
from getpass import getpass

from client_sdk import Wallet, WalletError
from client_sdk.money import format_amount, parse_amount
from client_sdk.transports import lan
from client_sdk.transports.qr import still
from offline_protocol.frames import to_text


async def sell(path: str, price: str, currency: str) -> None:
    passphrase = os.environ.get("TALLYSTICK_PASSPHRASE") or getpass("Passphrase: ")
    async with (
        await Wallet.open(path, passphrase=passphrase) as till,
        lan.listening(lan.local_address(), 0) as listener,
    ):
        amount = parse_amount(price, currency, digits=till.scale(currency))
        asked = await till.request_payment(amount, currency, transports=(listener.address,))
        code = still(asked.frame)
        if code is not None:
            code.terminal(compact=True)
        print(to_text(asked.frame), flush=True)

        paid = await till.listen(listener, asked.exchange.id)
        print(f"Paid: {format_amount(paid.amount, paid.currency, digits=till.scale(currency))}")


if __name__ == "__main__":
    try:
        asyncio.run(sell(*sys.argv[1:]))
    except WalletError as error:
        sys.exit(f"{error.detail} {error.fix or ''}")

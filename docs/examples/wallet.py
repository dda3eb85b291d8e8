"""A wallet, without an event loop.

python wallet.py new wallet.db https://pay.example amina    make it, and enrol it
python wallet.py load wallet.db 60.00 EUR                   from the account onto this device
python wallet.py pay wallet.db                              offline; asks for the code
python wallet.py resend wallet.db                           what is sent and not confirmed
python wallet.py sync wallet.db                             at the end of the day
"""

import os
import sys
from getpass import getpass
from pathlib import Path

from client_sdk import BlockingWallet, WalletError
from client_sdk.money import format_amount, parse_amount


def secret(name: str) -> str:
    return os.environ.get(f"TALLYSTICK_{name.upper()}") or getpass(f"{name}: ")


def pay(wallet: BlockingWallet) -> None:
    request = input("Scan or paste the code: ")
    seen = wallet.inspect(request)
    price = format_amount(seen.amount, seen.currency, digits=wallet.scale(seen.currency))
    if input(f"Pay {price} to {seen.payee_name}? [y/N] ") == "y":
        print(wallet.deliver(wallet.pay(request).id).words)


def main(command: str, path: str, *words: str) -> None:
    fresh = command == "new" and not Path(path).exists()
    begin = BlockingWallet.create if fresh else BlockingWallet.open
    with begin(path, passphrase=secret("Passphrase")) as wallet:
        match command, *words:
            case "new", server, username:
                wallet.enrol(server=server, username=username, password=secret("Password"))
            case "load", amount, currency:
                wallet.load(parse_amount(amount, currency), currency)
            case ["pay"]:
                pay(wallet)
            case ["resend"]:
                for payment in wallet.unconfirmed():
                    print(wallet.deliver(payment.id).words)
            case ["sync"]:
                wallet.sync()
            case _:
                sys.exit(__doc__)
        for held in wallet.balance():
            print(f"Offline: {format_amount(held.spendable, held.currency)}")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except WalletError as error:
        sys.exit(f"{error.detail} {error.fix or ''}")

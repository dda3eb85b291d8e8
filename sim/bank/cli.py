"""`python -m sim.bank`: start the bank."""

import logging
import socket
from pathlib import Path

import click
import uvicorn

from sim.bank.app import Bank
from sim.bank.store import Store


@click.command()
@click.option("--port", default=0, show_default=True, help="0 lets the system choose.")
@click.option("--port-file", type=click.Path(path_type=Path), help="Write the chosen port here.")
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder of the bank.")
@click.option(
    "--account",
    "accounts",
    multiple=True,
    metavar="CUR=NUMBER",
    help="The customer's account in a currency, such as EUR=DE89370400440532013000.",
)
@click.option("--server", help="Address of the customer's server, for notices.")
@click.option("--bank-id", help="The bank's id there, as `tallystick banks add` printed it.")
@click.option("--secret", envvar="SIM_BANK_SECRET", help="The secret shared with the server.")
def main(
    *,
    port: int,
    port_file: Path | None,
    data: Path,
    accounts: tuple[str, ...],
    server: str | None,
    bank_id: str | None,
    secret: str | None,
) -> None:
    """A partner bank that moves no real money, on this machine only.

    It keeps everything in a SQLite file and goes on where it was when it is killed. What it does is
    decided over HTTP under /control: let somebody pay in, choose what becomes of payment orders,
    send a payment back, fetch the statement of a day.

    \b
    Examples:
      python -m sim.bank --port 8901 --data var/bank --account EUR=DE89370400440532013000
      curl -d '{"currency": "EUR", "amount": 2500, "reference": "RF..."}' \\
        localhost:8901/control/deposits
      curl -d '{"next": ["delayed", "refused"]}' localhost:8901/control/modes
      curl localhost:8901/control/statements/EUR/today
    """
    store = Store(data / "bank.sqlite")
    with store.change():
        for account in accounts:
            currency, _, number = account.partition("=")
            store.do("INSERT OR REPLACE INTO account VALUES (?, ?)", currency, number)
        for name, value in (("server", server), ("bank_id", bank_id), ("secret", secret)):
            if value:
                store.set(name, value.rstrip("/") if name == "server" else value)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    chosen = listener.getsockname()[1]
    if port_file is not None:
        partial = port_file.with_suffix(".partial")
        partial.write_text(str(chosen), encoding="ascii")
        partial.replace(port_file)
    logging.basicConfig(level=logging.WARNING)
    click.echo(f"The bank listens on http://127.0.0.1:{chosen}", err=True)
    config = uvicorn.Config(Bank(store), log_config=None, access_log=False, lifespan="on")
    uvicorn.Server(config).run(sockets=[listener])

"""After an interruption: finish what needs nobody else."""

from typing import Final

from client_sdk.book import Book
from client_sdk.core import Input, State
from client_sdk.errors import StoreFull, StoreReadOnly
from client_sdk.flows.engine import Engine
from client_sdk.flows.receiving import Payee
from client_sdk.keys.errors import KeysError
from client_sdk.records import Exchange, Role

UNFINISHED: Final = frozenset({State.STORED, State.LOCKED, State.SIGNED})
"""States in which an interruption may leave an exchange that needs nobody else to go on."""


def recover(book: Book, engine: Engine, payee: Payee) -> None:
    """Sign what is reserved and answer what is stored; run at every opening.

    Signing again gives the same transfers, since every byte of them was fixed with the
    reservation. A payment is never sent from here: the person hands it over. What belongs to a
    file or a key that may not sign any more stays as it is, until the server's verdict. A full
    disk, a witness that may not be written or a key that is away leaves the rest for later; the
    wallet can be looked at meanwhile.
    """
    for exchange in book.exchanges(only_open=True):
        if exchange.state not in UNFINISHED or not book.may_sign(exchange):
            continue
        try:
            _finish(exchange, engine, payee)
        except (StoreFull, StoreReadOnly, KeysError):
            return


def _finish(exchange: Exchange, engine: Engine, payee: Payee) -> None:
    if exchange.state is State.STORED:
        payee.finish(exchange)
    elif exchange.role is Role.RETURN:
        payee.finish_return(exchange)
    elif exchange.state is State.LOCKED:
        engine.apply(exchange, Input.CONTINUE)

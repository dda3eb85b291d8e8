"""After an interruption: finish what needs nobody else."""

from client_sdk.book import Book
from client_sdk.core import Input, State
from client_sdk.flows.engine import Engine
from client_sdk.flows.receiving import Payee
from client_sdk.records import Role


def recover(book: Book, engine: Engine, payee: Payee) -> None:
    """Sign what is reserved and answer what is stored; run at every opening.

    Signing again gives the same transfers, since every byte of them was fixed with the
    reservation. A payment is never sent from here: the person hands it over.
    """
    for exchange in book.exchanges(only_open=True):
        if exchange.state is State.STORED:
            payee.finish(exchange)
            continue
        if exchange.state is State.LOCKED:
            exchange = engine.apply(exchange, Input.CONTINUE).exchange  # noqa: PLW2901 -- moved on
        if exchange.state is State.SIGNED and exchange.role is Role.RETURN:
            engine.apply(exchange, Input.HAND_OVER)

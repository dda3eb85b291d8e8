"""Daily reference-rate files as the central bank lays them out, and a real server for them."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import date
from threading import Event, Thread

from sqlalchemy import text

from server.fx.rates import store_rates
from server.kit.unit_of_work import Tx, UnitOfWork

Answer = Callable[[socket.socket, Event], None]
"""What is sent over a connection after a request; the event says that the test is over."""


def rate_file(day: date, **rates: str) -> bytes:
    """Return the bytes of a file: units of each currency for one euro."""
    rows = "".join(
        f"\t\t\t<Cube currency='{code}' rate='{rate}'/>\n" for code, rate in rates.items()
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01" '
        'xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">\n'
        "\t<gesmes:subject>Reference rates</gesmes:subject>\n"
        "\t<gesmes:Sender>\n\t\t<gesmes:name>European Central Bank</gesmes:name>\n"
        f"\t</gesmes:Sender>\n\t<Cube>\n\t\t<Cube time='{day.isoformat()}'>\n{rows}"
        "\t\t</Cube>\n\t</Cube>\n</gesmes:Envelope>\n"
    ).encode()


async def load_rates(uow: UnitOfWork, on: date | None = None, **rates: str) -> None:
    """Store rates as if a provider had sent them, of today where no day is given."""

    async def command(tx: Tx) -> None:
        await store_rates(tx, 1, rates, on=on or tx.now.date(), source="test")

    await uow.run(command)


async def run_sql(uow: UnitOfWork, statement: str) -> None:
    """Run a statement by hand, as nobody of ours would."""

    async def command(tx: Tx) -> None:
        await tx.connection.execute(text(statement))

    await uow.run(command)


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """Serve one answer to every request on loopback, from threads; yields the address."""
    ended = Event()
    threads: list[Thread] = []

    def serve(connection: socket.socket) -> None:
        # Whoever asked may have gone away before the answer was out.
        with connection, suppress(ConnectionError, TimeoutError):
            connection.settimeout(10)
            request = b""
            while b"\r\n\r\n" not in request:
                request += (part := connection.recv(65_536))
                if not part:
                    return
            answer(connection, ended)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threads.append(Thread(target=serve, args=(connection,)))
            threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = Thread(target=accept)
        accepting.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/stats/eurofxref-daily.xml"
        finally:
            ended.set()
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for thread in threads:
                thread.join()


def whole(body: bytes, *, status: str = "200 OK", headers: str = "") -> Answer:
    """Return an answer that sends everything at once."""

    def answer(connection: socket.socket, _ended: Event) -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
        connection.sendall(head.encode() + body)

    return answer

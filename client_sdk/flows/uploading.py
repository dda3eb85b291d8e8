"""In which order records go up, and how many in one call.

The server settles a voucher whenever something new under it arrives. So what hangs under one
voucher goes up together, parents before what comes from them, and large backlogs take few calls.
"""

from collections.abc import Collection, Iterator
from typing import Final

from client_sdk.api.encoding import to_text
from client_sdk.book import TO_UPLOAD, Book, record_of
from client_sdk.store.sqlite import Row
from offline_protocol.cose import unseal
from offline_protocol.receipts import Receipt
from offline_protocol.transfers import Transfer

BATCH_RECORDS: Final = 5_000
"""As many as the server takes in one call."""
BATCH_CHARACTERS: Final = 1_500_000
"""Of encoded records: a body may have 2 million bytes."""
WINDOW_RECORDS: Final = 20_000
"""Records that are put in order at once."""


class UploadQueue:
    """The records that wait for upload, batch by batch.

    Those whose keys are in `passed_over` stay where they are: the server has said that they wait.
    """

    def __init__(self, book: Book, passed_over: Collection[bytes]) -> None:
        self._book = book
        self._passed_over = passed_over
        self._batches: Iterator[list[Row]] = iter(())

    def take(self) -> list[Row]:
        """The next batch; empty when nothing is left to upload now."""
        batch = next(self._batches, None)
        if batch is None:
            self.restart()
            batch = next(self._batches, [])
        return batch

    def restart(self) -> None:
        """Look again at what waits: marks have changed."""
        limit = WINDOW_RECORDS + len(self._passed_over)
        rows = self._book.store.rows("record", flag=TO_UPLOAD, limit=limit)
        window = [row for row in rows if row.key not in self._passed_over]
        self._batches = batches(window[:WINDOW_RECORDS])


def batches(rows: list[Row]) -> Iterator[list[Row]]:
    """Cut records into batches; a family is cut only where it is larger than a batch."""
    batch: list[Row] = []
    size = 0
    for family in families(rows):
        family_size = sum(map(_characters, family))
        fits = len(batch) + len(family) <= BATCH_RECORDS and size + family_size <= BATCH_CHARACTERS
        if batch and not fits:
            yield batch
            batch, size = [], 0
        for row in family:
            one = _characters(row)
            if batch and (len(batch) == BATCH_RECORDS or size + one > BATCH_CHARACTERS):
                yield batch
                batch, size = [], 0
            batch.append(row)
            size += one
    if batch:
        yield batch


def families(rows: list[Row]) -> list[list[Row]]:
    """Put records together that come from one another, in the order of their first writing.

    A receipt belongs to the transfers that it is about.
    """
    above = {row.key: _above(row) for row in rows}
    found: dict[bytes, list[Row]] = {}
    for row in rows:
        top = row.key
        while (next_up := above.get(top, b"")) and next_up != top:
            top = next_up
        found.setdefault(top, []).append(row)
    return list(found.values())


def _above(row: Row) -> bytes:
    """Id of what a record builds on; empty when it stands for itself."""
    kind, data = record_of(row.payload)
    if kind == "transfer":
        return unseal(Transfer, data).body.parent
    if kind == "receipt":
        return unseal(Receipt, data).body.transfer_ids[0]
    return b""


def _characters(row: Row) -> int:
    kind, data = record_of(row.payload)
    return len(to_text(data)) + len(kind) + len('{"kind":"","object":""},')

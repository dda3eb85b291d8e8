"""Whether this database is still the one that a device spoke with last.

A database that was restored from a backup has forgotten what came after it, and the devices believe
that it knows. So each answer to a sync carries a mark that is stored together with what the answer
confirms: a database that has the mark has the rest too. Of each device two are kept, the last that
it has shown and the last that it was given, since an answer may get lost. A device that shows
another one uploads everything again and hears everything again; doing so changes nothing twice.
"""

from typing import Final

from server.offline.models import TrustRow

MARK_BYTES: Final = 16


def turn_page(row: TrustRow, shown: bytes | None, fresh: bytes) -> bool:
    """Give a device its next mark; return whether this database does not know the one shown.

    A device that shows none has nothing here that it could believe to be known.
    """
    forgotten = shown is not None and shown not in {row.mark_given, row.mark_shown}
    if shown is not None:
        row.mark_shown = None if forgotten else shown
    row.mark_given = fresh
    return forgotten

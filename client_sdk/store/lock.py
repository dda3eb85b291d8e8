"""One process per wallet: an advisory lock on a side file.

The operating system releases it when the process ends, also by kill -9, so no stale lock is left.
"""

import errno
import fcntl
import os
from pathlib import Path
from typing import Final

from client_sdk.errors import StoreFull, StoreReadOnly, WalletLocked

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the system says when there is no room: disk, quota, or limit on the length of files."""


class FileLock:
    """Held from construction until `release`.

    Raises:
        WalletLocked: another process, or another wallet object in this one, holds it.
        StoreReadOnly: the side file cannot be made.
        StoreFull: there is no room for it.
    """

    def __init__(self, wallet: Path) -> None:
        wallet = wallet.resolve()  # one file is one wallet, whatever links lead to it
        path = wallet.with_name(wallet.name + ".lock")
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            kind = StoreFull if error.errno in FULL else StoreReadOnly
            raise kind(f"The lock beside the wallet cannot be written: {error}.") from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise WalletLocked(f"The wallet {wallet} is open in another program.") from None

    def release(self) -> None:
        os.close(self._descriptor)

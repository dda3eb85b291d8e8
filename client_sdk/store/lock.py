"""One process per wallet: an advisory lock on a side file.

The operating system releases it when the process ends, also by kill -9, so no stale lock is left.
"""

import fcntl
import os
from pathlib import Path

from client_sdk.errors import StoreReadOnly, WalletLocked


class FileLock:
    """Held from construction until `release`.

    Raises:
        WalletLocked: another process, or another wallet object in this one, holds it.
        StoreReadOnly: the side file cannot be made.
    """

    def __init__(self, wallet: Path) -> None:
        wallet = wallet.resolve()  # one file is one wallet, whatever links lead to it
        path = wallet.with_name(wallet.name + ".lock")
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreReadOnly(f"The lock beside the wallet cannot be written: {error}.") from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise WalletLocked(f"The wallet {wallet} is open in another program.") from None

    def release(self) -> None:
        os.close(self._descriptor)

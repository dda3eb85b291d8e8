"""The wallet on a device: keeps vouchers, pays and is paid with no network, and syncs later.

Names are loaded when first used, so that a command line which only prints its help stays quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from client_sdk.blocking import BlockingWallet
    from client_sdk.errors import WalletError
    from client_sdk.keys import KeyProvider, SoftwareKeys
    from client_sdk.wallet import Wallet

__all__ = ["BlockingWallet", "KeyProvider", "SoftwareKeys", "Wallet", "WalletError"]

_HOMES = {
    "BlockingWallet": "client_sdk.blocking",
    "KeyProvider": "client_sdk.keys",
    "SoftwareKeys": "client_sdk.keys",
    "Wallet": "client_sdk.wallet",
    "WalletError": "client_sdk.errors",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)

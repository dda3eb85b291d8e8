"""Bluetooth LE: the payee advertises a GATT service for one request, the payer connects to it.

The payer's side is `dial`, the payee's `listener`. Which library speaks to the radio is chosen by
the name of an adapter (see `adapters`) and imported only then.
"""

from client_sdk.transports.ble.connecting import dial
from client_sdk.transports.ble.naming import SCHEME, split_address

__all__ = ["SCHEME", "dial", "split_address"]

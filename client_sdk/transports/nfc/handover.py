"""The NDEF message of a touch: the signed request, and where else the payee can be reached.

It is a Handover Select message (NFC Forum Connection Handover 1.2). The request is what counts: it
is signed, and names the carriers too. The carrier records serve devices and programs that know
these standards and not us.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import ndef  # type: ignore[import-untyped]

from client_sdk.errors import UnreadableMessage
from client_sdk.transports.ble import naming
from offline_protocol.constants import OBJECT_BYTES_MAX
from offline_protocol.cose import unseal
from offline_protocol.errors import ProtocolError
from offline_protocol.frames import FrameKind, unpack
from offline_protocol.requests import PaymentRequest

VERSION: Final = "1.2"
REQUEST_TYPE: Final = "application/vnd.tallystick.request"
LAN_TYPE: Final = "application/vnd.tallystick.lan"
BLE_TYPE: Final = "application/vnd.bluetooth.le.oob"
REQUEST_NAME: Final = "r"
MESSAGE_BYTES_MAX: Final = OBJECT_BYTES_MAX + 4_096

_LE_ROLE: Final = 0x1C
_PERIPHERAL_ONLY: Final = b"\0"
_SERVICE_UUID_128: Final = 0x07
_SERVICE_DATA_128: Final = 0x21
_UUID_BYTES: Final = 16


@dataclass(frozen=True)
class Handover:
    """What a touch brought.

    Attributes:
        frame: the request; nobody has checked it yet.
        addresses: where the payee says it can be reached, besides what the request says.
    """

    frame: bytes
    addresses: tuple[str, ...]


def encode(frame: bytes) -> bytes:
    """The message for a request frame, with a record for each transport that has one.

    Raises:
        ProtocolError: not a request.
    """
    transports = unseal(PaymentRequest, unpack(frame)[1]).body.transports
    carriers = [
        record
        for number, address in enumerate(transports)
        if (record := _carrier(address, str(number))) is not None
    ]
    select = ndef.HandoverSelectRecord(VERSION)
    for carrier in carriers:
        select.add_alternative_carrier("active", carrier.name, REQUEST_NAME)
    request = ndef.Record(REQUEST_TYPE, REQUEST_NAME, frame)
    return b"".join(ndef.message_encoder([select, *carriers, request]))


def decode(message: bytes) -> Handover:
    """Read a message; records of other kinds are passed over.

    Raises:
        UnreadableMessage: no NDEF message, or no request in it.
    """
    if len(message) > MESSAGE_BYTES_MAX:
        raise UnreadableMessage("The touch brought more than any request.")
    try:
        records = list(ndef.message_decoder(message, known_types={}))
    except Exception as error:  # noqa: BLE001 -- the decoder raises what the bytes make it raise
        raise UnreadableMessage(f"The touch brought no NDEF message: {error}.") from None
    requests = [bytes(one.data) for one in records if one.type == REQUEST_TYPE]
    if len(requests) != 1 or not _is_request(requests[0]):
        raise UnreadableMessage("The device that was touched asks for no payment.")
    return Handover(requests[0], tuple(_addresses(records)))


def _carrier(address: str, name: str) -> Any | None:
    """The record of one transport, or None if it has none."""
    if address.startswith("lan:"):
        return ndef.Record(LAN_TYPE, name, address.encode())
    if address.startswith(naming.SCHEME):
        token = naming.split_address(address)
        service = naming.service_uuid(token).bytes[::-1]
        data = _ad(_LE_ROLE, _PERIPHERAL_ONLY)
        data += _ad(_SERVICE_UUID_128, service) + _ad(_SERVICE_DATA_128, service + token)
        return ndef.Record(BLE_TYPE, name, data)
    return None


def _addresses(records: Sequence[Any]) -> list[str]:
    found = []
    for record in records:
        if record.type == LAN_TYPE:
            found.append(bytes(record.data).decode("ascii", "replace"))
        elif record.type == BLE_TYPE and (token := _token(bytes(record.data))) is not None:
            found.append(naming.join_address(token))
    return found


def _token(data: bytes) -> bytes | None:
    """The token of our service in advertising data, if it is there."""
    while data:
        length, rest = data[0], data[1:]
        body, data = rest[:length], rest[length:]
        if len(body) == length == 1 + _UUID_BYTES + naming.TOKEN_BYTES and (
            body[0] == _SERVICE_DATA_128
        ):
            service, token = body[1 : 1 + _UUID_BYTES], body[1 + _UUID_BYTES :]
            if UUID(bytes=service[::-1]) == naming.service_uuid(token):
                return token
    return None


def _ad(kind: int, data: bytes) -> bytes:
    """One structure of advertising data (Bluetooth Core, volume 3, part C, section 11)."""
    return bytes([1 + len(data), kind]) + data


def _is_request(frame: bytes) -> bool:
    try:
        return unpack(frame)[0] is FrameKind.REQUEST
    except ProtocolError:
        return False

"""The message of a touch: ours, read by a general NDEF library, and anything else, read by us."""

import ndef  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_sdk.errors import UnreadableMessage
from client_sdk.testing import Issuer, new_wallet
from client_sdk.transports.ble import naming
from client_sdk.transports.nfc.handover import (
    LAN_TYPE,
    MESSAGE_BYTES_MAX,
    REQUEST_TYPE,
    Handover,
    decode,
    encode,
)
from offline_protocol.errors import ProtocolError

TOKEN = bytes(range(8))
TRANSPORTS = ("lan:192.0.2.7:4100", naming.join_address(TOKEN), "nfc:", "pigeon:post")


async def request_with(*transports: str) -> bytes:
    payee = await new_wallet(Issuer(), "payee")
    frame = (await payee.request_payment(250, "EUR", transports=transports)).frame
    await payee.close()
    return frame


async def test_a_message_reads_back() -> None:
    frame = await request_with(*TRANSPORTS)
    assert decode(encode(frame)) == Handover(frame, TRANSPORTS[:2])
    bare = await request_with()
    assert decode(encode(bare)) == Handover(bare, ())


async def test_a_general_library_reads_it_as_a_handover() -> None:
    frame = await request_with(*TRANSPORTS)
    select, network, bluetooth, request = ndef.message_decoder(encode(frame))
    assert isinstance(select, ndef.HandoverSelectRecord)
    assert select.version_string == "1.2"
    carriers = select.alternative_carriers
    assert [one.carrier_power_state for one in carriers] == ["active", "active"]
    assert [one.carrier_data_reference for one in carriers] == [network.name, bluetooth.name]
    assert all(list(one.auxiliary_data_reference) == [request.name] for one in carriers)
    assert (network.type, bytes(network.data)) == (LAN_TYPE, b"lan:192.0.2.7:4100")
    assert (request.type, bytes(request.data)) == (REQUEST_TYPE, frame)
    assert isinstance(bluetooth, ndef.BluetoothLowEnergyRecord)
    assert bluetooth.role_capabilities == "Peripheral"
    service = naming.service_uuid(TOKEN).bytes[::-1]
    assert bluetooth[0x07] == service
    assert bluetooth[0x21] == service + TOKEN


async def test_what_holds_no_single_request_is_refused() -> None:
    frame = await request_with("nfc:")
    request = ndef.Record(REQUEST_TYPE, "r", frame)
    other = ndef.Record("text/plain", "r", frame)
    payment = ndef.Record(REQUEST_TYPE, "r", b"\x01\x02" + frame[2:])
    for records in ([], [other], [request, request], [payment], [ndef.TextRecord("hello")]):
        message = b"".join(ndef.message_encoder(records))
        with pytest.raises(UnreadableMessage):
            decode(message)
    whole = b"".join(ndef.message_encoder([request]))
    assert decode(whole) == Handover(frame, ())
    for length in range(len(whole)):
        with pytest.raises(UnreadableMessage):
            decode(whole[:length])
    with pytest.raises(ProtocolError):
        encode(b"\x01\x01nothing")


async def test_bluetooth_data_that_is_not_ours_is_passed_over() -> None:
    frame = await request_with("nfc:")
    service = naming.service_uuid(TOKEN).bytes[::-1]
    for data in (
        b"",
        b"\x00\x00\x00",
        b"\xff",
        b"\x19\x21" + service + bytes(8),  # the token is of another service
        b"\x18\x21" + service + TOKEN[:7],
        b"\x19\x16" + service + TOKEN,
        b"\x19\x21" + (service + TOKEN)[:-1],
    ):
        records = [
            ndef.Record("application/vnd.bluetooth.le.oob", "0", data),
            ndef.Record(REQUEST_TYPE, "r", frame),
        ]
        assert decode(b"".join(ndef.message_encoder(records))).addresses == ()


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(message: bytes) -> None:
    with pytest.raises(UnreadableMessage):
        decode(message)


@given(st.binary(max_size=120))
def test_any_bluetooth_data_is_read_or_passed_over(data: bytes) -> None:
    records = [
        ndef.Record("application/vnd.bluetooth.le.oob", "0", data),
        ndef.Record(LAN_TYPE, "1", data),
        ndef.Record(REQUEST_TYPE, "r", b"\x01\x01"),
    ]
    decode(b"".join(ndef.message_encoder(records)))


def test_more_than_any_request_is_refused_unread() -> None:
    with pytest.raises(UnreadableMessage, match="more than any request"):
        decode(bytes(MESSAGE_BYTES_MAX + 1))

"""Where webhooks may go, tried against real receivers on this machine."""

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from server.notifications import destinations
from server.notifications.destinations import Courier, check_address, is_public
from server.notifications.errors import WebhookAddressRefused
from tests.fakes.receiver import Receiver, receiver


class Names:
    """A resolver in the test's hand: each look-up gives the next answer, the last one for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def addresses(self, host: str, port: int) -> list[str]:
        self.asked.append((host, port))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if not answer:
            raise OSError("no such name")
        return answer


@pytest.fixture
async def there() -> AsyncIterator[Receiver]:
    async with receiver() as found:
        yield found


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",  # noqa: S104
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "100.100.100.200",
        "192.0.0.192",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd00:ec2::254",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
        "",
        "localhost",
        "0x7f000001",
        "2130706433",
    ],
)
def test_inner_addresses_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1"]
)
def test_outer_addresses_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://169.254.169.254/latest/meta-data",
        "https://user:secret@shop.example/",
        "https://shop.example/#part",
        "https:///path",
        "https://",
        "file:///etc/passwd",
        "gopher://shop.example/",
        "shop.example",
        "",
        "https://shop.example/\r\nHost: inner",
        "https://shop.example/ x",
        "https://shöp.example/",
        "https://shop.example:99999/",
        "https://shop.example/" + "x" * 500,
    ],
)
def test_addresses_of_a_wrong_form_are_refused(url: str) -> None:
    with pytest.raises(WebhookAddressRefused):
        check_address(url, private=False)


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["1.1.1.1", "127.0.0.1"], ["10.0.0.1"], ["::ffff:127.0.0.1"], []],
)
async def test_a_name_that_leads_inside_is_not_followed(
    there: Receiver, addresses: list[str]
) -> None:
    courier = Courier(Names(addresses))
    sent = await courier.send(f"https://shop.example:{there.port}/", {}, b"{}")
    await courier.close()
    assert sent.status is None
    assert sent.error
    assert there.requests == []


async def test_literal_addresses_in_odd_forms_are_looked_at_when_they_are_resolved(
    there: Receiver,
) -> None:
    """The system's resolver reads 2130706433 and 0x7f.1 as 127.0.0.1."""
    courier = Courier()
    for host in ("2130706433", "0x7f.1", "localhost", "127.1"):
        sent = await courier.send(f"https://{host}:{there.port}/", {}, b"{}")
        assert (sent.status, "not public" in (sent.error or "")) == (None, True), sent
    await courier.close()
    assert there.requests == []


async def test_a_name_that_answers_differently_the_second_time_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name is asked once for a message, and the connection goes to what that answer was."""
    server, client = _tls("shop.example", tmp_path)
    names = Names(["127.0.0.1"], ["10.99.99.99"])
    monkeypatch.setattr(destinations, "is_public", lambda address: address == "127.0.0.1")
    async with receiver(server) as there:
        courier = Courier(names, tls=client)
        first = await courier.send(f"https://shop.example:{there.port}/", {}, b"{}")
        second = await courier.send(f"https://shop.example:{there.port}/", {}, b"{}")
        await courier.close()
        assert first.delivered
        assert (second.status, "not public" in (second.error or "")) == (None, True)
        assert names.asked == [("shop.example", there.port)] * 2
        assert len(there.requests) == 1


async def test_a_redirect_is_an_answer_and_not_an_order(there: Receiver) -> None:
    async with receiver() as inner:
        for status in (301, 302, 303, 307, 308):
            there.answers(status, location=inner.url)
            courier = Courier(private=True)
            sent = await courier.send(there.url, {}, b"{}")
            await courier.close()
            assert (sent.status, sent.delivered) == (status, False)
        assert inner.requests == []


async def test_of_a_huge_answer_a_little_is_read(there: Receiver) -> None:
    written = 0

    async def endless(writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
            await writer.drain()
            written += 65_536

    there.reply = endless
    courier = Courier(private=True)
    sent = await courier.send(there.url, {}, b"{}")
    await courier.close()
    assert (sent.status, sent.answer) == (200, "x" * 512)
    assert written < 50_000_000


async def test_what_is_packed_small_is_not_unpacked(there: Receiver) -> None:
    there.answers(200, gzip.compress(b"0" * 50_000_000), content_encoding="gzip")
    courier = Courier(private=True)
    sent = await courier.send(there.url, {}, b"{}")
    await courier.close()
    assert sent.status == 200
    assert len(sent.answer) <= 512


@pytest.mark.parametrize("where", ["before", "head", "body"])
async def test_a_server_that_hangs_is_left(
    there: Receiver, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(destinations, "TIMEOUT_S", 0.2)

    async def hang(writer: asyncio.StreamWriter) -> None:
        if where != "before":
            writer.write(b"HTTP/1.1 200 OK\r\n")
        if where == "body":
            writer.write(b"content-length: 10\r\n\r\nabc")
        await writer.drain()
        await asyncio.Event().wait()

    there.reply = hang
    courier = Courier(private=True)
    sent = await courier.send(there.url, {}, b"{}")
    await courier.close()
    if where == "body":
        assert (sent.status, sent.answer, sent.error) == (200, "abc", None)
    else:
        assert (sent.status, sent.error) == (None, "no answer in time")


@pytest.mark.parametrize(
    "garbage",
    [b"", b"\x00" * 100, b"HTTP/1.1 twohundred\r\n\r\n", b"HTTP/1.1 200 OK\r\nx" + b"y" * 200_000],
)
async def test_nonsense_is_an_error_and_no_exception(there: Receiver, garbage: bytes) -> None:
    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(garbage)
        await writer.drain()

    there.reply = say
    courier = Courier(private=True)
    sent = await courier.send(there.url, {}, b"{}")
    await courier.close()
    assert sent.status is None
    assert sent.error == "RemoteProtocolError"


async def test_no_proxy_of_the_environment_is_asked(
    there: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiver() as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        courier = Courier(private=True)
        sent = await courier.send(there.url, {}, b"{}")
        await courier.close()
        assert sent.delivered
        assert proxy.requests == []


async def test_over_tls_the_certificate_must_be_that_of_the_name(tmp_path: Path) -> None:
    server, client = _tls("shop.example", tmp_path)
    async with receiver(server) as there:
        courier = Courier(Names(["127.0.0.1"]), private=True, tls=client)
        good = await courier.send(f"https://shop.example:{there.port}/a", {"x": "y"}, b"{}")
        bad = await courier.send(f"https://other.example:{there.port}/a", {}, b"{}")
        await courier.close()
        assert good.status == 204
        assert (bad.status, bad.error) == (None, "ConnectError")
        [request] = there.requests
        assert request.path == "/a"
        assert request.headers["host"] == f"shop.example:{there.port}"
        assert request.headers["x"] == "y"


def _tls(name: str, folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return what a server of this name and a client that trusts it use."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime(2026, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=3650))
        .not_valid_after(now + timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    chain, secret = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(chain, secret)
    return server, ssl.create_default_context(cafile=str(chain))

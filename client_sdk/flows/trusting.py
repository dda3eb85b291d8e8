"""What the issuer signs for this device: key sets, certificates, vouchers; checked, then kept."""

from client_sdk.book import Book
from client_sdk.errors import WalletError
from client_sdk.flows.engine import holding_of
from client_sdk.records import Holding, Source
from client_sdk.store.sqlite import StoreTx
from client_sdk.trust import refusing, trust
from offline_protocol.certificates import DeviceCertificate, KeySet, verify_key_set
from offline_protocol.chains import Chain
from offline_protocol.cose import Signed, unseal
from offline_protocol.keys import PublicKey
from offline_protocol.verification import verify_certificate, verify_chain
from offline_protocol.vouchers import Voucher


class IssuerRefused(WalletError):
    """The issuer, or somebody in its place, sent something that does not hold."""

    code = "issuer_refused"
    fix = "Do not go on. Ask the issuer, and compare the root key's fingerprint."


def check_key_set(book: Book, envelope: bytes, root_key: PublicKey) -> Signed[KeySet]:
    """A key set that is signed by the root key and not older than the one in use.

    Raises:
        IssuerRefused: it is not.
    """
    with refusing(IssuerRefused):
        signed = unseal(KeySet, envelope)
        current = book.stored_key_set()
        verify_key_set(signed, root_key, current.body if current else None)
    return signed


def keep_key_set(book: Book, tx: StoreTx, signed: Signed[KeySet]) -> None:
    tx.put("single", b"key_set", signed.envelope)
    book.raise_time_floor(tx, signed.body.time)


def check_certificate(book: Book, envelope: bytes) -> Signed[DeviceCertificate]:
    """A certificate for this device's key, issued by a key of the key set.

    Raises:
        IssuerRefused: it is not.
    """
    with refusing(IssuerRefused):
        signed = unseal(DeviceCertificate, envelope)
        verify_certificate(signed, trust(book))
    if signed.body.device_key != book.signer.public_key:
        raise IssuerRefused("The certificate is for another device.", code="foreign_certificate")
    return signed


def keep_certificate(book: Book, tx: StoreTx, signed: Signed[DeviceCertificate]) -> None:
    tx.put("single", b"certificate", signed.envelope)
    book.raise_time_floor(tx, signed.body.valid_from)


def check_voucher(book: Book, envelope: bytes) -> Holding:
    """The holding that a new voucher for this device makes.

    Raises:
        IssuerRefused: it does not hold, or is for another device.
    """
    with refusing(IssuerRefused):
        chain = Chain(unseal(Voucher, envelope))
        verify_chain(chain, trust(book))
    if chain.owner != book.signer.public_key:
        raise IssuerRefused("The voucher is for another device.", code="foreign_voucher")
    return holding_of(chain, Source.ISSUED, b"")


def keep_voucher(book: Book, tx: StoreTx, holding: Holding) -> None:
    """Hold a voucher; one that is there already keeps what was signed away of it."""
    if book.holding(holding.key) is None:
        book.put_holding(tx, holding)
        book.raise_time_floor(tx, Chain.decode(holding.chain).voucher.body.issued_at)

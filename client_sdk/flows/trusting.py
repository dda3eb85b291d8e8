"""What the issuer signs: keys, certificates, vouchers, revocations, rules; checked, then kept.

Key sets, revocations and rules are for everybody: they come from the server or from other devices,
and count the same, since all that matters is who signed them.
"""

from typing import Final

from client_sdk.api.documents import Document, number_of, optional_bytes, unreadable
from client_sdk.book import Book
from client_sdk.errors import WalletError
from client_sdk.flows.engine import holding_of
from client_sdk.records import Holding, Source
from client_sdk.store.sqlite import StoreTx
from client_sdk.trust import refusing, trust
from offline_protocol.acceptance import AcceptancePolicy, verify_acceptance_policy
from offline_protocol.certificates import DeviceCertificate, KeySet, verify_key_set
from offline_protocol.chains import Chain
from offline_protocol.cose import Signed, unseal
from offline_protocol.errors import PolicyRefused, RevocationDoesNotApply
from offline_protocol.keys import PublicKey
from offline_protocol.revocation_trail import Piece, read_revocation, take_revocation
from offline_protocol.verification import verify_certificate, verify_chain
from offline_protocol.vouchers import Voucher

PIECES_TO_RENEW: Final = 8
WHOLE: Final = 0
"""Held epoch to name to the server in order to get all of the revocation list."""


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
    if not book.owns(signed.body.device_key):
        raise IssuerRefused("The certificate is for another device.", code="foreign_certificate")
    return signed


def keep_certificate(book: Book, tx: StoreTx, signed: Signed[DeviceCertificate]) -> None:
    if book.keyring.owns(signed.body.device_key):
        book.keyring.keep(tx, signed)
    else:
        tx.put("single", b"certificate", signed.envelope)
    book.raise_time_floor(tx, signed.body.valid_from)


def check_voucher(book: Book, envelope: bytes) -> Holding:
    """The holding that a new voucher makes for its owner.

    Raises:
        IssuerRefused: it does not hold.
    """
    with refusing(IssuerRefused):
        chain = Chain(unseal(Voucher, envelope))
        verify_chain(chain, trust(book))
    return holding_of(chain, Source.ISSUED, b"")


def keep_voucher(book: Book, tx: StoreTx, holding: Holding) -> None:
    """Hold a voucher; one that is there already keeps what was signed away of it."""
    if book.holding(holding.key) is None:
        book.keyring.use(tx, Chain.decode(holding.chain).owner)
        book.put_holding(tx, holding)
        book.raise_time_floor(tx, Chain.decode(holding.chain).voucher.body.issued_at)


def learn_key_set(book: Book, envelope: bytes) -> bool:
    """Take a key set from anybody, if it is newer; whether it was.

    Raises:
        IssuerRefused: the root did not sign it, or it does not follow the one in use.
    """
    root_key = book.root_key()
    if root_key is None:
        raise IssuerRefused("No root key is pinned.", fix="Enrol this wallet again.")
    signed = check_key_set(book, envelope, root_key)
    current = book.stored_key_set()
    if current is not None and signed.id == current.id:
        return False
    with book.store.write("issuer") as tx:
        keep_key_set(book, tx, signed)
    return True


def learn_revocation(book: Book, envelope: bytes, *, now: int | None = None) -> bool:
    """Take a revocation list or delta from anybody; whether it leads on from what is held.

    Args:
        book: of this wallet.
        envelope: of the list or delta.
        now: the server's time, when it says that there is nothing newer.

    Raises:
        IssuerRefused: the issuer did not sign it.
    """
    held = book.blocklist.epoch
    with refusing(IssuerRefused):
        signed = read_revocation(envelope)
        try:
            revoked = take_revocation(signed, book.key_set(), book.blocklist.listed())
        except RevocationDoesNotApply:
            return False
    with book.store.write("revocation") as tx:
        if now is None and revoked.epoch == held:
            # Another device must not replace small pieces by a list that is too long to pass on.
            book.blocklist.confirm(tx, signed.body.time)
        else:
            at = signed.body.time if now is None else now
            book.blocklist.keep(tx, revoked, Piece.of(signed), time=at)
        book.raise_time_floor(tx, signed.body.time)
    return True


def learn_policy(book: Book, envelope: bytes) -> bool:
    """Take the issuer's acceptance rules from anybody, if they are newer; whether they were.

    Raises:
        IssuerRefused: the issuer did not sign them.
    """
    with refusing(IssuerRefused):
        signed = unseal(AcceptancePolicy, envelope)
        verify_acceptance_policy(signed, book.key_set())
    current = book.policy()
    try:
        verify_acceptance_policy(signed, book.key_set(), current)
    except PolicyRefused:
        return False
    if current is not None and current.id == signed.id:
        return False
    with book.store.write("acceptance policy") as tx:
        tx.put("single", b"acceptance_policy", signed.envelope)
        book.raise_time_floor(tx, signed.body.time)
    return True


def epoch_to_name(book: Book) -> int:
    """The held epoch as the server is told.

    A device that cannot pass on the whole list, or only in many pieces, asks for it anew.
    """
    trail = book.blocklist.trail()
    if not trail.whole or len(trail.pieces) > PIECES_TO_RENEW:
        return WHOLE
    return book.blocklist.epoch


def learn_news(book: Book, answer: Document, *, named: int) -> bool:
    """Take revocations, acceptance rules and the time out of the answer to a sync.

    Args:
        book: of this wallet.
        answer: the server's.
        named: the held epoch that the server was told.

    Returns:
        Whether what came does not lead on from what is held, so that all of it is to be asked for.

    Raises:
        IssuerRefused: the issuer did not sign it.
        ServerUnavailable: the answer cannot be read.
    """
    server_time = number_of(answer, "server_time")
    policy = optional_bytes(answer, "acceptance_policy")
    if policy is not None:
        learn_policy(book, policy)
    news = answer.get("revocations")
    leads_on = news is None and named == book.blocklist.epoch
    if news is not None:
        if not isinstance(news, dict):
            raise unreadable("revocations")
        envelope = optional_bytes(news, "delta") or optional_bytes(news, "list")
        leads_on = envelope is not None and learn_revocation(book, envelope, now=server_time)
    with book.store.write("server time") as tx:
        book.learn_server_time(tx, server_time)
        book.blocklist.put_time_right(tx, server_time)
        if leads_on:
            book.blocklist.confirm(tx, server_time)
    return news is not None and not leads_on and named != WHOLE

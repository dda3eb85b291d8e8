"""Further keys: made, bound to this device, certified by the issuer, and kept in supply."""

from typing import TYPE_CHECKING, Final

from client_sdk.api.documents import decoded, list_of, unreadable
from client_sdk.api.encoding import to_text
from client_sdk.book import DAY_SECONDS, Book
from client_sdk.errors import ServerRefused
from client_sdk.flows.trusting import check_certificate, keep_certificate
from client_sdk.keyring import POOL_KEYS, POOL_LEAST
from offline_protocol.chains import Chain
from offline_protocol.keys import PublicKey

if TYPE_CHECKING:
    from client_sdk.api.client import ApiClient

RENEW_SECONDS: Final = 7 * DAY_SECONDS
BATCH_KEYS: Final = 32
PATH: Final = "/v1/offline/certificates"


async def fill_pool(book: Book, api: "ApiClient") -> int:
    """Certify further keys where few are unused, and renew those that hold value.

    Idempotent: keys are made and stored before they are shown to the issuer, and an interrupted
    call is finished by the next one. An issuer that refuses leaves the wallet with its first key.
    A merchant is known by name and needs no further keys.

    Returns:
        How many certificates came.
    """
    root_key, own = book.root_key(), book.stored_certificate()
    if root_key is None or own is None or book.guard.restored or own.body.display_name:
        return 0
    if len(book.keyring.unused(book.now(), lasting=RENEW_SECONDS)) < POOL_LEAST:
        missing = POOL_KEYS - len(book.keyring.uncertified())
        with book.store.write("further keys") as tx:
            book.keyring.make(tx, max(missing, 0))
    wanted = [*book.keyring.uncertified(), *_ending(book)][:BATCH_KEYS]
    if not wanted:
        return 0
    owner = book.signer.public_key
    bindings = [book.keyring.bind(owner, key, root_key.id) for key in wanted]
    try:
        answer = await api.post(
            PATH, {"bindings": [to_text(each.envelope) for each in bindings]}, repeat=True
        )
    except ServerRefused:
        return 0
    envelopes = [decoded(item, "certificates") for item in list_of(answer, "certificates")]
    certificates = [check_certificate(book, envelope) for envelope in envelopes]
    if {each.body.device_key for each in certificates} != set(wanted):
        raise unreadable("certificates")
    with book.store.write("further certificates") as tx:
        for certificate in certificates:
            keep_certificate(book, tx, certificate)
    return len(certificates)


def _ending(book: Book) -> list[PublicKey]:
    """Further keys that own value here and whose certificate ends soon."""
    owners = {Chain.decode(holding.chain).owner for holding in book.holdings()}
    further = [key for key in owners if book.keyring.owns(key)]
    return [
        key
        for key in sorted(further, key=lambda key: key.raw)
        if (certificate := book.keyring.certificate(key)) is not None
        and certificate.body.valid_to < book.now() + RENEW_SECONDS
    ]

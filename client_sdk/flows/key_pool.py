"""Further keys: made, bound to this device, certified by the issuer, and kept in supply."""

from collections.abc import Sequence
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
    """Renew further keys that hold value or that nobody has seen, and certify more where few are.

    Idempotent: keys are made and stored before they are shown to the issuer, and an interrupted
    call is finished by the next one. An issuer that refuses more keys leaves the wallet with those
    that it has; so does a key provider without room. A merchant is known by name and needs no
    further keys.

    Returns:
        How many certificates came.
    """
    own = book.stored_certificate()
    if book.root_key() is None or own is None or book.guard.restored or own.body.display_name:
        return 0
    renewed = await _certify(book, api, _ending(book))
    idle = len(book.keyring.idle())
    if idle < POOL_LEAST:
        missing = POOL_KEYS - idle - len(book.keyring.uncertified())
        with book.store.write("further keys") as tx:
            book.keyring.make(tx, max(missing, 0))
    return renewed + await _certify(book, api, book.keyring.uncertified())


async def _certify(book: Book, api: "ApiClient", keys: Sequence[PublicKey]) -> int:
    """Get certificates for these keys; how many came before the issuer refused, if it did."""
    root_key, owner = book.root_key(), book.signer.public_key
    assert root_key is not None, "looked at by the caller"
    for start in range(0, len(keys), BATCH_KEYS):
        wanted = keys[start : start + BATCH_KEYS]
        bindings = [book.keyring.bind(owner, key, root_key.id) for key in wanted]
        try:
            answer = await api.post(
                PATH, {"bindings": [to_text(each.envelope) for each in bindings]}, repeat=True
            )
        except ServerRefused:
            return start
        envelopes = [decoded(item, "certificates") for item in list_of(answer, "certificates")]
        certificates = [check_certificate(book, envelope) for envelope in envelopes]
        if {each.body.device_key for each in certificates} != set(wanted):
            raise unreadable("certificates")
        with book.store.write("further certificates") as tx:
            for certificate in certificates:
                keep_certificate(book, tx, certificate)
    return len(keys)


def _ending(book: Book) -> list[PublicKey]:
    """Further keys whose certificate ends soon: first those that own value here, then unseen ones.

    An unseen key is renewed and not replaced: an issuer grants a device so many keys and no more.
    """
    held = {Chain.decode(holding.chain).owner for holding in book.holdings()}
    owning = sorted((key for key in held if book.keyring.owns(key)), key=lambda key: key.raw)
    return [
        key
        for key in dict.fromkeys([*owning, *book.keyring.idle()])
        if (certificate := book.keyring.certificate(key)) is not None
        and certificate.body.valid_to < book.now() + RENEW_SECONDS
    ]

"""The wallet's book: typed reading and writing of the store.

Reads are small functions; writes take the open transaction, so that what belongs together is
written together. `now` is the only time the wallet goes by.
"""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from client_sdk.ambient import Clock, Entropy
from client_sdk.api.auth import Session
from client_sdk.blocklist import Blocklist
from client_sdk.errors import (
    CertificateExpired,
    NotEnrolled,
    StoreCorrupt,
    StoreError,
    UnknownExchange,
)
from client_sdk.hearsay import Hearsay
from client_sdk.keyring import FIRST_SEQUENCE, Keyring
from client_sdk.keys import AsksPerson, DeletesKeys, KeyProvider, Spending
from client_sdk.money import parse_currency
from client_sdk.records import Exchange, Holding, Role
from client_sdk.store.guard import Guard
from client_sdk.store.sealed import Value
from client_sdk.store.sqlite import Store, StoreTx
from offline_protocol.acceptance import AcceptancePolicy
from offline_protocol.certificates import DeviceCertificate, KeySet
from offline_protocol.chains import Chain
from offline_protocol.constants import CLOCK_SLACK_S
from offline_protocol.cose import Signed, unseal
from offline_protocol.keys import PublicKey, Signer
from offline_protocol.requests import PaymentRequest
from offline_protocol.revocation import prefix_of
from offline_protocol.transfers import Transfer

DAY_SECONDS: Final = 86_400
AHEAD_SECONDS_MAX: Final = 30 * 86_400
"""How far a signed time may push the time floor beyond what clock and server say."""

NOTHING_LEFT: Final = 0
SPENDABLE: Final = 1
RETIRED: Final = 2
"""Flags of holdings. A retired one belongs to a key that may not sign any more."""

TO_UPLOAD: Final = 0
UPLOADED: Final = 1
REFUSED: Final = 2


class Book:
    """One wallet's memory.

    Args:
        store: the open file.
        keys: where the device key is used.
        clock: the device's own time.
        entropy: source of keys and nonces.
        state_folder: where the file's witness is kept; by default the user's state directory.

    Attributes:
        guard: knows whether this file has forgotten what was signed.
        blocklist: whose keys and vouchers are refused.
        hearsay: what was seen and heard about value signed away.
    """

    def __init__(
        self,
        store: Store,
        keys: KeyProvider,
        *,
        clock: Clock,
        entropy: Entropy,
        state_folder: Path | None = None,
    ) -> None:
        self.store = store
        self.blocklist = Blocklist(store)
        self.hearsay = Hearsay(store)
        self._keys = keys
        self.clock = clock
        self.entropy = entropy
        handle = store.get("single", b"device_key")
        if handle is None:
            handle = keys.make_device_key()
            with store.write("device key") as tx:
                tx.put("single", b"device_key", handle)
        assert isinstance(handle, bytes), "handles are bytes"
        self.signer: Signer = keys.signer(handle)
        self.keyring = Keyring(store, keys)
        self.guard = Guard(store, keys, entropy=entropy, folder=state_folder)

    # Keys.

    def owns(self, key: PublicKey) -> bool:
        """Whether this wallet signs with this key."""
        return key == self.signer.public_key or self.keyring.owns(key)

    def signer_of(self, key: PublicKey) -> Signer:
        """The signer of a key that this wallet owns."""
        return self.signer if key == self.signer.public_key else self.keyring.signer(key)

    def certificate_of(self, key: PublicKey) -> Signed[DeviceCertificate] | None:
        """The newest certificate of a key that this wallet owns."""
        if key == self.signer.public_key:
            return self.stored_certificate()
        return self.keyring.certificate(key)

    def asking_certificate(self) -> Signed[DeviceCertificate]:
        """The certificate to ask for money with: of a key that nobody has seen, if there is one.

        A merchant's name stands in the certificate of the first key, so merchants ask with that.

        Raises:
            NotEnrolled: there is none at all.
            CertificateExpired: it has ended and was not renewed.
        """
        own = self.certificate()
        unused = (
            [] if own.body.display_name else self.keyring.unused(self.now(), lasting=DAY_SECONDS)
        )
        return unused[0] if unused else own

    def next_sequence(self, key: PublicKey) -> int:
        """The number of a key's next signature."""
        if key == self.signer.public_key:
            return self.number(b"next_sequence", FIRST_SEQUENCE)
        return self.keyring.sequence(key)

    def count_signatures(self, tx: StoreTx, key: PublicKey, signatures: int) -> None:
        """Give so many sequence numbers of a key away."""
        if key == self.signer.public_key:
            tx.put("single", b"next_sequence", self.next_sequence(key) + signatures)
        else:
            self.keyring.count(tx, key, signatures)

    def may_sign(self, exchange: Exchange) -> bool:
        """Whether an exchange can still be finished here.

        An old copy of the file signs nothing, and a wallet that got a new key signs nothing for
        the one before.
        """
        if self.guard.restored:
            return False
        if exchange.role is Role.RECEIVE:
            return self.owns(unseal(PaymentRequest, exchange.request).body.payee)
        return self.owns(unseal(DeviceCertificate, exchange.certificate).body.device_key)

    def ask_person(self, amount: int, currency: str, payee_name: str) -> None:
        """Before a payment is reserved: the key provider may want to see a person.

        Raises:
            PersonRefused: it asked, and nobody confirmed.
        """
        if isinstance(self._keys, AsksPerson):
            self._keys.presence(Spending(amount=amount, currency=currency, payee_name=payee_name))

    def renew_key(self) -> None:
        """Give this wallet a new key; what the old one holds is not spent from here any more.

        Its certificate and session go with it. Records stay, to be handed in. Hardware destroys
        the old key, as far as it is at hand.
        """
        old = self.raw(b"device_key")
        handle = self._keys.make_device_key()
        with self.store.write("new key") as tx:
            self.guard.begin_again(tx)
            self.keyring.forget_all(tx)
            tx.put("single", b"device_key", handle)
            for name in (b"certificate", b"session", b"next_sequence", b"keys_lost"):
                tx.delete("single", name)
            for holding in self.holdings():
                self.put_holding(tx, holding, retired=True)
        self.signer = self._keys.signer(handle)
        self.guard.look_again()
        if old is not None and isinstance(self._keys, DeletesKeys):
            with suppress(StoreError):  # what cannot be destroyed now is of no use any more
                self._keys.delete_device_key(old)

    # Single values.

    def number(self, name: bytes, default: int = 0) -> int:
        value = self.store.get("single", name)
        return default if value is None else _int(value)

    def text(self, name: bytes) -> str | None:
        value = self.store.get("single", name)
        return value if isinstance(value, str) else None

    def raw(self, name: bytes) -> bytes | None:
        value = self.store.get("single", name)
        return value if isinstance(value, bytes) else None

    def now(self) -> int:
        """Unix seconds: the clock, put right by the server, never behind issuer-signed time."""
        return max(self.clock.now() + self.clock_offset(), self.time_floor)

    @property
    def time_floor(self) -> int:
        """Latest time that the issuer has signed, as far as this device has seen."""
        return self.number(b"time_floor")

    def raise_time_floor(self, tx: StoreTx, seen: int) -> None:
        """Learn a time that the issuer has signed.

        One from far ahead, by a stolen or careless key, must not make everything here look expired:
        it counts for no more than 30 days beyond the clock and the server's last word.
        """
        known = max(self.clock.now() + self.clock_offset(), self.number(b"server_time"))
        seen = min(seen, known + AHEAD_SECONDS_MAX)
        if seen > self.time_floor:
            tx.put("single", b"time_floor", seen)

    def learn_server_time(self, tx: StoreTx, server_time: int) -> None:
        """Learn the server's own time: it alone may set a floor back that is ahead of it."""
        tx.put("single", b"server_time", server_time)
        if self.time_floor > server_time + CLOCK_SLACK_S:
            tx.put("single", b"time_floor", server_time)

    def session(self) -> Session | None:
        value = self.store.get("single", b"session")
        if not isinstance(value, dict):
            return None
        return Session(
            access_token=str(value["access_token"]),
            refresh_token=str(value["refresh_token"]),
            expires_at=_int(value["expires_at"]),
            session_id=str(value["session_id"]),
            bound=bool(value["bound"]),
        )

    def save_session(self, session: Session) -> None:
        with self.store.write("session") as tx:
            tx.put(
                "single",
                b"session",
                {
                    "access_token": session.access_token,
                    "refresh_token": session.refresh_token,
                    "expires_at": session.expires_at,
                    "session_id": session.session_id,
                    "bound": session.bound,
                },
            )

    def clock_offset(self) -> int:
        return self.number(b"clock_offset")

    def save_clock_offset(self, seconds: int) -> None:
        with self.store.write("clock offset") as tx:
            tx.put("single", b"clock_offset", seconds)

    # Trust.

    def root_key(self) -> PublicKey | None:
        raw = self.raw(b"root_key")
        return None if raw is None else PublicKey(raw)

    def stored_key_set(self) -> Signed[KeySet] | None:
        envelope = self.raw(b"key_set")
        return None if envelope is None else unseal(KeySet, envelope)

    def key_set(self) -> KeySet:
        """The issuer's keys in use.

        Raises:
            NotEnrolled: there is none yet.
        """
        signed = self.stored_key_set()
        if signed is None:
            raise NotEnrolled("This wallet does not know its issuer yet.")
        return signed.body

    def stored_certificate(self) -> Signed[DeviceCertificate] | None:
        envelope = self.raw(b"certificate")
        return None if envelope is None else unseal(DeviceCertificate, envelope)

    def certificate(self) -> Signed[DeviceCertificate]:
        """This device's certificate, good now.

        Raises:
            NotEnrolled: there is none yet.
            CertificateExpired: it has ended and was not renewed.
        """
        signed = self.stored_certificate()
        if signed is None:
            raise NotEnrolled("This wallet has no device certificate yet.")
        if self.now() > signed.body.valid_to:
            raise CertificateExpired("This device's certificate has ended.")
        return signed

    def policy(self) -> AcceptancePolicy | None:
        """The issuer's acceptance rules in use."""
        envelope = self.raw(b"acceptance_policy")
        return None if envelope is None else unseal(AcceptancePolicy, envelope).body

    def scale(self, currency: str) -> int | None:
        """Decimals that the issuer's key set gives the currency; None if it lists none."""
        signed = self.stored_key_set()
        return None if signed is None else signed.body.scale(parse_currency(currency))

    def revoked(self) -> frozenset[bytes]:
        """What is refused: the issuer's list, and keys known to have signed something twice."""
        return self.blocklist.everything()

    @property
    def blocked(self) -> bool:
        """Whether the issuer has revoked this wallet's own key."""
        return prefix_of(self.signer.public_key.id) in self.blocklist.listed().prefixes

    @property
    def list_outdated(self) -> bool:
        """Whether the issuer's keys ask for a newer revocation list than the one held."""
        signed = self.stored_key_set()
        return signed is not None and self.blocklist.epoch < signed.body.epoch_floor

    # Holdings.

    def holdings(self, currency: str | None = None) -> list[Holding]:
        """Pieces of which something is left, and whose key is still in use."""
        rows = self.store.rows("holding", flag=SPENDABLE)
        found = [Holding.from_value(row.payload) for row in rows]
        return [one for one in found if currency is None or one.currency == currency]

    def retired_holdings(self) -> list[Holding]:
        """What an earlier key of this wallet holds: it returns by the issuer's settlement.

        It may be less than it looks like: the copy of the file may have forgotten payments.
        """
        return [Holding.from_value(row.payload) for row in self.store.rows("holding", flag=RETIRED)]

    def holding(self, key: bytes) -> Holding | None:
        value = self.store.get("holding", key)
        return None if value is None else Holding.from_value(value)

    def put_holding(self, tx: StoreTx, holding: Holding, *, retired: bool = False) -> None:
        flag = RETIRED if retired else SPENDABLE
        tx.put(
            "holding", holding.key, holding.to_value(), flag=flag if holding.free else NOTHING_LEFT
        )

    # Exchanges.

    def find_exchange(self, exchange_id: bytes) -> Exchange | None:
        value = self.store.get("exchange", exchange_id)
        return None if value is None else Exchange.from_value(value)

    def exchange(self, exchange_id: bytes) -> Exchange:
        """The exchange.

        Raises:
            UnknownExchange: this wallet has none with this id.
        """
        found = self.find_exchange(exchange_id)
        if found is None:
            raise UnknownExchange(f"This wallet knows no exchange {exchange_id.hex()}.")
        return found

    def exchanges(self, *, role: Role | None = None, only_open: bool = False) -> list[Exchange]:
        """In the order in which they began."""
        rows = self.store.rows("exchange", flag=1 if only_open else None)
        found = [Exchange.from_value(row.payload) for row in rows]
        return [one for one in found if role is None or one.role is role]

    def put_exchange(self, tx: StoreTx, exchange: Exchange) -> None:
        tx.put("exchange", exchange.id, exchange.to_value(), flag=int(exchange.open))

    def message_out(self, exchange_id: bytes) -> bytes | None:
        """The exact bytes that answer for this exchange, once they are fixed."""
        value = self.store.get("message_out", exchange_id)
        return value if isinstance(value, bytes) else None

    # Records to upload.

    def put_record(self, tx: StoreTx, kind: str, key: bytes, data: bytes) -> None:
        """Keep a signed object for upload; one that is there already stays as it is."""
        if self.store.get("record", key) is None:
            self.mark_record(tx, key, kind, data, TO_UPLOAD)

    @staticmethod
    def mark_record(tx: StoreTx, key: bytes, kind: str, data: bytes, flag: int) -> None:
        """Write a record with how far its upload is."""
        parent = unseal(Transfer, data).body.parent if kind == "transfer" else b""
        tx.put("record", key, [kind, data], flag=flag, link=parent)

    def upload_again(self, tx: StoreTx) -> None:
        """Mark every record for upload: after the server was put back from a copy of its own.

        What it still has it recognises as duplicates.
        """
        for flag in (UPLOADED, REFUSED):
            for row in self.store.rows("record", flag=flag):
                kind, data = record_of(row.payload)
                self.mark_record(tx, row.key, kind, data, TO_UPLOAD)

    def put_transfers(self, tx: StoreTx, transfers: Iterable[Signed[Transfer]]) -> None:
        for transfer in transfers:
            self.put_record(tx, "transfer", transfer.id, transfer.envelope)

    def put_chain(self, tx: StoreTx, chain: Chain) -> None:
        """Keep all transfers of a chain for upload and learn the issuer's times in it."""
        self.put_transfers(tx, (hop.transfer for hop in chain.hops))
        self.hearsay.put_seen(tx, chain, self.owns)
        seen = [chain.voucher.body.issued_at]
        seen += [hop.certificate.body.valid_from for hop in chain.hops if hop.certificate]
        self.raise_time_floor(tx, max(seen))

    def children(self, parent: bytes) -> list[Signed[Transfer]]:
        """Known transfers out of this voucher or transfer."""
        return [
            unseal(Transfer, record_of(row.payload)[1])
            for row in self.store.linked("record", parent)
            if record_of(row.payload)[0] == "transfer"
        ]

    def transfers(self) -> list[Signed[Transfer]]:
        """Every transfer that this wallet has signed or seen."""
        return [unseal(Transfer, envelope) for envelope in self.records_of("transfer")]

    def records_of(self, kind: str) -> list[bytes]:
        """Signed objects of one kind, as they were signed."""
        found = (record_of(row.payload) for row in self.store.rows("record"))
        return [data for of_kind, data in found if of_kind == kind]

    def signed_transfers(self) -> list[Signed[Transfer]]:
        """Those that this wallet has signed itself."""
        own = {
            transfer_id
            for exchange in self.exchanges()
            if exchange.role is not Role.RECEIVE
            for transfer_id in exchange.transfers
        }
        return [transfer for transfer in self.transfers() if transfer.id in own]


def record_of(value: Value) -> tuple[str, bytes]:
    """Kind and envelope of a row of the table of records."""
    if isinstance(value, list) and len(value) == 2:  # noqa: PLR2004 -- kind and envelope
        kind, envelope = value
        if isinstance(kind, str) and isinstance(envelope, bytes):
            return kind, envelope
    raise StoreCorrupt("A row that should hold a signed record holds something else.")


def _int(value: Value) -> int:
    if not isinstance(value, int):
        raise StoreCorrupt("A row that should hold a number holds something else.")
    return value

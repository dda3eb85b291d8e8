"""What needs the server: enrolling, topping up, and moving value onto the device.

A money call gets its idempotency key before it is made, and both are kept until the outcome is
known: after a crash the same call is made again, not a second one.
"""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import UUID

from client_sdk.api.documents import (
    Document,
    bytes_of,
    decoded,
    documents_of,
    list_of,
    number_of,
    text_of,
    uuid_of,
)
from client_sdk.api.encoding import to_text
from client_sdk.book import Book
from client_sdk.errors import ServerRefused, SignInNeeded, StoreCorrupt, WalletError
from client_sdk.flows.trusting import (
    IssuerRefused,
    check_key_set,
    check_voucher,
    keep_key_set,
    keep_voucher,
)
from client_sdk.money import format_amount
from client_sdk.store.sealed import Value
from client_sdk.trust import refusing
from offline_protocol.chains import Chain
from offline_protocol.keys import PublicKey

if TYPE_CHECKING:
    from client_sdk.api.client import ApiClient

ENROL_CONTEXT: Final = b"tallystick/1/enrol"
KEY_BYTES: Final = 16

PENDING: Final = "pending"
TOP_UP: Final = "/v1/top-ups"
LOAD: Final = "/v1/offline/vouchers"


KEYS_LOST: Final = b"keys_lost"
"""Set when the issuer knows further keys that this file has forgotten: vouchers then go to the
first key."""


class KeyLost(IssuerRefused):
    """The issuer chose a further key that an older copy of this wallet file has forgotten."""

    code = "key_lost"
    fix = (
        "Sync, then load again: value will be made out to a key that is here. What was made out "
        "to the other key comes back to your account by itself after its claim-by date."
    )


class EnrolledElsewhere(WalletError):
    """The wallet belongs to another account."""

    code = "enrolled_elsewhere"
    fix = "Use a new wallet file for the other account."


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Whose wallet this is."""

    server: str
    username: str
    user_id: str
    device_id: str


@dataclass(frozen=True, kw_only=True)
class TopUp:
    """A top-up from a card; `pending` ones are looked up again by the next `top_up` or sync."""

    id: str
    status: str
    amount: int
    currency: str
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class Load:
    """Value that moved onto this device."""

    amount: int
    currency: str
    vouchers: int


@dataclass(frozen=True, kw_only=True)
class OnlineBalance:
    currency: str
    available: int
    held: int
    offline: int


class Online:
    def __init__(self, book: Book, api: "ApiClient") -> None:
        self._book = book
        self._api = api

    async def enrol(
        self,
        *,
        server: str,
        username: str,
        password: str,
        device_name: str,
        root_key: bytes | None,
    ) -> Profile:
        """Sign in, bind this device's key to the account, and pin the issuer's root key.

        Raises:
            ServerRefused: wrong password, or the device may not be enrolled.
            IssuerRefused: the root key is not the pinned or given one.
            EnrolledElsewhere: this wallet belongs to another account.
        """
        credentials: Document = {"identifier": username, "password": password}
        user_id = await self._sign_in(
            {**credentials, "device_name": device_name, "remember": False}
        )
        challenge = bytes_of(await self._api.post("/v1/devices/challenges"), "challenge")
        signer = self._book.signer
        proof = signer.sign(ENROL_CONTEXT + challenge + user_id.bytes)
        enrolled = await self._api.post(
            "/v1/devices",
            {
                "name": device_name,
                "public_key": to_text(signer.public_key.raw),
                "challenge": to_text(challenge),
                "proof": to_text(proof),
            },
        )
        self._api.open_session(enrolled, bound=True)
        profile = Profile(
            server=server,
            username=username,
            user_id=str(user_id),
            device_id=text_of(enrolled, "device_id"),
        )
        await self._pin_issuer(root_key)
        with self._book.store.write("profile") as tx:
            for name, value in vars(profile).items():
                tx.put("single", name.encode(), value)
        return profile

    async def _sign_in(self, credentials: Document) -> UUID:
        """Open a session of this wallet's account; if it is another's, the old one stays."""
        before = self._book.session()
        signed_in = await self._api.post("/v1/sessions", credentials, public=True)
        self._api.open_session(signed_in, bound=False)
        try:
            user_id = uuid_of(await self._api.get("/v1/me"), "id")
            if self._book.text(b"user_id") not in {None, str(user_id)}:
                raise EnrolledElsewhere("This wallet is enrolled for another account.")
        except WalletError:
            if before is not None:
                self._book.save_session(before)
            raise
        return user_id

    async def _pin_issuer(self, given: bytes | None) -> None:
        answer = await self._api.get("/v1/offline/key-set", public=True)
        with refusing(IssuerRefused):
            offered = PublicKey(bytes_of(answer, "root_key"))
        pinned = self._book.root_key()
        if offered.id != (given or offered.id) or offered != (pinned or offered):
            raise IssuerRefused("The server shows another root key than expected.")
        signed = check_key_set(self._book, bytes_of(answer, "key_set"), offered)
        with self._book.store.write("issuer") as tx:
            tx.put("single", b"root_key", offered.raw)
            keep_key_set(self._book, tx, signed)

    async def top_up(self, amount: int, currency: str, card: str) -> TopUp:
        """Charge a card and credit the account online."""
        body: Document = {"amount": amount, "currency": currency, "card": card}
        return self._note_top_up(body, await self._money_call(TOP_UP, body))

    async def load(self, amount: int, currency: str) -> Load:
        """Move value from the account onto this device, as vouchers."""
        known = self._book.number(KEYS_LOST) == 0
        body: Document = {"amount": amount, "currency": currency, "further_keys": known}
        return await self._keep_vouchers(body, await self._money_call(LOAD, body))

    async def finish_pending(self) -> None:
        """Make interrupted money calls again, with the keys of that time.

        Raises:
            KeyLost: a load brought value for a key that is here no more. The call is over, so that
                this is said once and stops nothing after that.
        """
        lost: KeyLost | None = None
        for row in self._book.store.rows("pending_call"):
            path, body, _ = _pending(row.payload)
            if row.key != (name := _call_name(path, body)):  # an earlier build named it otherwise
                with self._book.store.write("call") as tx:
                    tx.put("pending_call", name, row.payload)
                    tx.delete("pending_call", row.key)
            try:
                answer = await self._money_call(path, body)
            except SignInNeeded:
                raise
            except ServerRefused:
                continue  # it is settled now, and forgotten: nothing was done
            if path == LOAD:
                try:
                    await self._keep_vouchers(body, answer)
                except KeyLost as error:
                    lost = error
                    self._forget(path, body)
            else:
                self._note_top_up(body, answer)
        if lost is not None:
            raise lost

    async def balances(self) -> list[OnlineBalance]:
        answer = await self._api.get("/v1/balances")
        return [
            OnlineBalance(
                currency=text_of(item, "currency"),
                available=number_of(item, "available"),
                held=number_of(item, "held"),
                offline=number_of(item, "offline"),
            )
            for item in documents_of(answer, "items")
        ]

    async def _money_call(self, path: str, body: Document) -> Document:
        """Make the call under a key that outlives a crash; a refusal ends it, silence does not."""
        name = _call_name(path, body)
        stored = self._book.store.get("pending_call", name)
        if stored is None:
            key = to_text(self._book.entropy(KEY_BYTES))
            with self._book.store.write("call") as tx:
                tx.put("pending_call", name, [path, json.dumps(body), key])
        else:
            _, body, key = _pending(stored)
        try:
            return await self._api.post(path, body, idempotency_key=key)
        except SignInNeeded:
            raise  # it says nothing about a call that was made before the session ended
        except ServerRefused:
            self._forget(path, body)
            raise

    def _note_top_up(self, body: Document, answer: Document) -> TopUp:
        """Forget the call once its outcome is known; until then it is asked for under its key."""
        found = _top_up(answer)
        if found.status != PENDING:
            self._forget(TOP_UP, body)
        return found

    async def _keep_vouchers(self, body: Document, answer: Document) -> Load:
        """Hold the vouchers and forget the call, in one transaction.

        Raises:
            IssuerRefused: they do not hold, or are not what was asked for.
            KeyLost: some are made out to a key that is here no more; the others are kept, and the
                call stays open, in case that the issuer was mistaken.
        """
        envelopes = [decoded(item, "vouchers") for item in list_of(answer, "vouchers")]
        try:
            holdings = [check_voucher(self._book, envelope) for envelope in envelopes]
        except IssuerRefused as refusal:
            if refusal.code != "voucher_key_known":
                raise
            await self._pin_issuer(None)  # the issuer may have new keys since the last sync
            holdings = [check_voucher(self._book, envelope) for envelope in envelopes]
        distinct = {one.key: one.amount for one in holdings if one.currency == body["currency"]}
        if len(distinct) != len(holdings) or sum(distinct.values()) != body["amount"]:
            raise IssuerRefused("The vouchers are not what was asked for.", code="other_vouchers")
        own = [one for one in holdings if self._book.owns(Chain.decode(one.chain).owner)]
        lost = sum(distinct.values()) - sum(one.amount for one in own)
        if lost and body.get("further_keys") is not True:
            raise IssuerRefused("The voucher is for another device.", code="foreign_voucher")
        with self._book.store.write("vouchers") as tx:
            for holding in own:
                keep_voucher(self._book, tx, holding)
            if lost:
                tx.put("single", KEYS_LOST, 1)
            else:
                tx.delete("pending_call", _call_name(LOAD, body))
        if lost:
            raise KeyLost(
                f"{format_amount(lost, str(body['currency']))} was made out to a key that this "
                "wallet file does not hold."
            )
        return Load(
            amount=sum(one.amount for one in holdings),
            currency=str(body["currency"]),
            vouchers=len(holdings),
        )

    def _forget(self, path: str, body: Document) -> None:
        with self._book.store.write("call done") as tx:
            tx.delete("pending_call", _call_name(path, body))


def _top_up(answer: Document) -> TopUp:
    reason = answer.get("reason")
    return TopUp(
        id=text_of(answer, "id"),
        status=text_of(answer, "status"),
        amount=number_of(answer, "amount"),
        currency=text_of(answer, "currency"),
        reason=reason if isinstance(reason, str) else None,
    )


def _call_name(path: str, body: Document) -> bytes:
    # A call that is made again is the same one, whichever keys its vouchers may be for.
    parts = [path, *(f"{name}={body[name]}" for name in sorted(body) if name != "further_keys")]
    return "\n".join(parts).encode()


def _pending(value: Value) -> tuple[str, Document, str]:
    if isinstance(value, list) and len(value) == 3:  # noqa: PLR2004 -- path, body, key
        path, body, key = value
        if isinstance(path, str) and isinstance(body, str) and isinstance(key, str):
            return path, json.loads(body), key
    raise StoreCorrupt("A row that should hold a pending call holds something else.")

"""A server in memory that decides by the pure settlement, and the wallet's side of the wire to it.

It judges what it is given by signature and parent, keeps a set that only grows, and tells people
what the real one would tell them (see `server/offline/events.py`). Its money is checked at every
settlement: credits of a closed voucher are its value.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from client_sdk.api.encoding import to_bytes, to_text
from client_sdk.errors import ServerRefused, ServerUnavailable, SignInNeeded
from client_sdk.testing import Issuer, SetClock
from offline_protocol.cose import Signed, check_signature, unseal
from offline_protocol.errors import ProtocolError
from offline_protocol.fraud import FraudProof
from offline_protocol.key_bindings import KeyBinding
from offline_protocol.keys import PublicKey
from offline_protocol.receipts import Receipt
from offline_protocol.resolution import Root
from offline_protocol.settlement import RootSettlement, settle
from offline_protocol.transfers import Transfer, TransferKind
from offline_protocol.vouchers import Voucher
from tests.kill.checks import Broken, require

BOUNDLESS = 10**12
EVENTS_PER_SYNC = 5


@dataclass
class Event:
    account: str
    device: bytes | None
    body: dict[str, Any]


@dataclass
class ModelServer:
    """What the issuer knows.

    Attributes:
        accounts: whose key this is, by key id.
        devices: the first key of the device that has it, by key id.
        answers: what was answered under an idempotency key.
        paid: final credits by account.
    """

    issuer: Issuer
    clock: SetClock
    accounts: dict[bytes, str] = field(default_factory=dict)
    devices: dict[bytes, bytes] = field(default_factory=dict)
    vouchers: dict[bytes, Signed[Voucher]] = field(default_factory=dict)
    transfers: dict[bytes, Signed[Transfer]] = field(default_factory=dict)
    roots: dict[bytes, bytes] = field(default_factory=dict)
    waiting: dict[bytes, Signed[Transfer]] = field(default_factory=dict)
    receipts: dict[bytes, Signed[Receipt]] = field(default_factory=dict)
    closed: set[bytes] = field(default_factory=set)
    events: list[Event] = field(default_factory=list)
    answers: dict[str, tuple[PublicKey, dict[str, Any]]] = field(default_factory=dict)
    credits: dict[bytes, dict[str, int]] = field(default_factory=dict)

    def enrol(self, account: str, key: PublicKey) -> None:
        """A first key of somebody's device."""
        self.accounts[key.id] = account
        self.devices[key.id] = key.id

    def bind(self, key: PublicKey, body: dict[str, Any]) -> dict[str, Any]:
        """Certify further keys of a device."""
        made = []
        for text in body["bindings"]:
            binding = unseal(KeyBinding, to_bytes(text))
            check_signature(binding, binding.body.bound)
            require(binding.body.owner == key, "a key is bound to another device")
            self.accounts[binding.body.bound.id] = self.accounts[key.id]
            self.devices[binding.body.bound.id] = key.id
            made.append(self.issuer.certificate(binding.body.bound, now=self.clock.now()))
        return {"certificates": [to_text(each.envelope) for each in made]}

    def issue(self, voucher: Signed[Voucher]) -> None:
        self.vouchers[voucher.id] = voucher
        self.roots[voucher.id] = voucher.id

    @property
    def issued(self) -> int:
        return sum(one.body.value for one in self.vouchers.values())

    @property
    def paid(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for credited in self.credits.values():
            total.update(credited)
        return total

    def load(self, key: PublicKey, body: dict[str, Any], name: str) -> dict[str, Any]:
        """Vouchers for the calling device; the same name gives the same ones again."""
        if name not in self.answers:
            voucher = self.issuer.voucher(
                key, body["amount"], body["currency"], now=self.clock.now()
            )
            self.issue(voucher)
            self.answers[name] = (key, {"vouchers": [to_text(voucher.envelope)]})
        holder, answer = self.answers[name]
        if holder != key:
            raise ServerRefused("Another request.", code="idempotency_conflict", status=409)
        return answer

    def sync(self, key: PublicKey, body: dict[str, Any]) -> dict[str, Any]:
        """One call of one device."""
        results = [self._take(key, record) for record in body["records"]]
        self.close_what_is_due()
        news = self.news_for(key, body["cursor"])
        page = news[:EVENTS_PER_SYNC]
        certificate = self.issuer.certificate(
            key, now=self.clock.now(), name=shown_name(self.accounts[key.id])
        )
        return {
            "results": results,
            "events": page,
            "cursor": page[-1]["seq"] if page else body["cursor"],
            "more": len(news) > len(page),
            "certificate": to_text(certificate.envelope) if not body["cursor"] else None,
            "key_set": None,
            "server_time": self.clock.now(),
            "missing_sequences": self.missing(key),
        }

    def news_for(self, key: PublicKey, cursor: int) -> list[dict[str, Any]]:
        """What this device has not heard of, in order."""
        account = self.accounts[key.id]
        return [
            {"seq": number, **event.body}
            for number, event in enumerate(self.events[cursor:], start=cursor + 1)
            if event.account == account and event.device in {None, key.id}
        ]

    def settlement_of(self, voucher: bytes) -> RootSettlement:
        found = [one.body for one in self.transfers.values() if self.roots[one.id] == voucher]
        (outcome,) = settle(
            [Root(self.vouchers[voucher].body, tuple(found))],
            account_of=lambda key: self.accounts[key.id],
            excluded={},
            instant_limit=dict.fromkeys(self.accounts.values(), BOUNDLESS),
            collateral={},
            fund_cap=0,
            now=self.clock.now(),
        ).roots
        return outcome

    def close_what_is_due(self) -> None:
        """Settle every voucher whose claim-by has come."""
        for voucher, signed in self.vouchers.items():
            if signed.body.claim_by <= self.clock.now() and voucher not in self.closed:
                self.closed.add(voucher)
                self._settle(voucher)

    def _take(self, key: PublicKey, record: dict[str, str]) -> dict[str, str]:
        envelope = to_bytes(record["object"])
        if record["kind"] == "receipt":
            receipt = unseal(Receipt, envelope)
            return {"id": to_text(receipt.id), "status": self._take_receipt(key, receipt)}
        if record["kind"] == "fraud_proof":
            proof = FraudProof.decode(envelope)
            raise Broken(f"an honest key was convicted: {proof.key.id.hex()}")
        transfer = unseal(Transfer, envelope)
        return {"id": to_text(transfer.id), "status": self._take_transfer(key, transfer)}

    def _take_transfer(self, uploader: PublicKey, transfer: Signed[Transfer]) -> str:
        if transfer.id in self.transfers:
            return "duplicate"
        signer = self._owner(transfer.body.parent)
        if signer is not None and self.roots[transfer.body.parent] in self.closed:
            return "refused"
        if signer is None:
            self.waiting[transfer.id] = transfer
            return "waiting"
        check_signature(transfer, signer)
        self.waiting.pop(transfer.id, None)
        self.transfers[transfer.id] = transfer
        root = self.roots[transfer.id] = self.roots[transfer.body.parent]
        ends = {signer.id}
        if transfer.body.kind is not TransferKind.CLAIM:
            ends.add(transfer.body.payee.id)
        for end in sorted({self.devices[end] for end in ends} - {uploader.id}):
            self._tell_known(end, transfer)
        self._settle(root)
        for child in [one for one in self.waiting.values() if one.body.parent == transfer.id]:
            self._take_transfer(uploader, child)
        return "stored"

    def _take_receipt(self, uploader: PublicKey, receipt: Signed[Receipt]) -> str:
        if receipt.id in self.receipts:
            return "duplicate"
        about = [self.transfers.get(name) for name in receipt.body.transfer_ids]
        if None in about:
            return "waiting"
        known = [one for one in about if one is not None]
        try:
            check_signature(receipt, known[0].body.payee)
        except ProtocolError:
            return "refused"
        self.receipts[receipt.id] = receipt
        for transfer in known:
            signer = self._owner(transfer.body.parent)
            assert signer is not None
            if self.devices[signer.id] != uploader.id:
                self._tell_known(signer.id, transfer, receipt=to_text(receipt.envelope))
        return "stored"

    def _owner(self, parent: bytes) -> PublicKey | None:
        if parent in self.vouchers:
            return self.vouchers[parent].body.holder
        transfer = self.transfers.get(parent)
        return None if transfer is None else transfer.body.payee

    def _tell_known(self, device: bytes, transfer: Signed[Transfer], **more: str) -> None:
        body = {
            "type": "transfer_known",
            "transfer_id": to_text(transfer.id),
            "object": to_text(transfer.envelope),
            **more,
        }
        self.events.append(Event(self.accounts[device], self.devices[device], body))

    def _settle(self, voucher: bytes) -> None:
        """Post what changed; a closed voucher is told to everybody in its tree."""
        outcome = self.settlement_of(voucher)
        require(not outcome.forks and not outcome.debts, "an honest key is found guilty")
        credited = {account: credit.amount for account, credit in outcome.credits.items()}
        require(sum(credited.values()) + outcome.open == outcome.value, "credits are not the value")
        before = self.credits.get(voucher, {})
        self.credits[voucher] = credited
        for account, amount in sorted(credited.items()):
            change = amount - before.get(account, 0)
            if change:
                body = {
                    "type": "credited" if change > 0 else "credit_reduced",
                    "voucher_id": to_text(voucher),
                    "currency": "EUR",
                    "amount": abs(change),
                    "final": True,
                }
                self.events.append(Event(account, None, body))
        if voucher in self.closed:
            require(outcome.open == 0, "a closed voucher is allotted to the last unit")
            for account in sorted(self._parties(voucher)):
                body = {"type": "voucher_closed", "voucher_id": to_text(voucher)}
                self.events.append(Event(account, None, body))

    def _parties(self, voucher: bytes) -> set[str]:
        keys = {self.vouchers[voucher].body.holder.id}
        for transfer in self.transfers.values():
            if self.roots[transfer.id] == voucher and transfer.body.kind is not TransferKind.CLAIM:
                keys.add(transfer.body.payee.id)
        return {self.accounts[key] for key in keys}

    def missing(self, key: PublicKey) -> list[int]:
        """Numbers below the highest one of a key under which nothing was handed in."""
        seen = {
            transfer.body.sequence
            for transfer in self.transfers.values()
            if self._owner(transfer.body.parent) == key
        }
        return sorted(set(range(1, max(seen, default=0) + 1)) - seen)


def shown_name(account: str) -> str | None:
    """Some people are merchants, whose certificates name them; others ask with further keys."""
    return None if account == "bo" else account


@dataclass
class ModelApi:
    """What a wallet takes for its HTTP client.

    Attributes:
        fault: "lost" loses the next request, "unanswered" the answer to it.
    """

    server: ModelServer
    key: PublicKey
    fault: str = ""

    async def post(
        self,
        path: str,
        body: dict[str, Any],
        *,
        repeat: bool = False,
        idempotency_key: str | None = None,
    ) -> dict[str, Any]:
        assert repeat or idempotency_key is not None, "a call that must not be repeated"
        fault, self.fault = self.fault, ""
        if self.key.id not in self.server.accounts:
            raise SignInNeeded("Enrol first.", code="sign_in_needed", status=401)
        if fault == "lost":
            raise ServerUnavailable("The request was lost.")
        if idempotency_key is not None:
            answer = self.server.load(self.key, body, idempotency_key)
        elif path == "/v1/offline/certificates":
            answer = self.server.bind(self.key, body)
        else:
            answer = self.server.sync(self.key, body)
        if fault == "unanswered":
            raise ServerUnavailable("The answer was lost.")
        return answer

    async def close(self) -> None:
        pass

"""What our implementation does for each kind of conformance case."""

from collections.abc import Callable
from typing import Any

from offline_protocol import (
    AcceptancePolicy,
    Chain,
    CloneAlarm,
    DeviceCertificate,
    Fountain,
    FraudProof,
    KeyBinding,
    KeySet,
    KeyUse,
    LogHead,
    Payment,
    PaymentFacts,
    PaymentRequest,
    ProtocolError,
    PublicKey,
    Receipt,
    Refusal,
    RevocationDelta,
    RevocationList,
    Revoked,
    Root,
    Signed,
    StreamReader,
    Transfer,
    TrustContext,
    Voucher,
    apply_revocation_delta,
    cbor,
    check_signature,
    from_text,
    judge,
    pack,
    settle,
    to_text,
    unpack,
    unseal,
    verify_acceptance_policy,
    verify_chain,
    verify_clone_alarm,
    verify_fraud_proof,
    verify_key_set,
    verify_payment,
    verify_receipt,
    verify_request,
    verify_return,
    verify_revocation_list,
)
from offline_protocol.base45 import decode_base45, encode_base45
from offline_protocol.collector import PartCollector
from offline_protocol.settlement import Terms
from tests.conformance.facts import (
    body_facts,
    object_facts,
    places_of,
    settlement_facts,
    value_facts,
)
from tests.conformance.sessions import open_session

Json = Any
Given = dict[str, Json]

_OBJECTS: dict[str, type[Any]] = {
    kind.NAME: kind
    for kind in (
        AcceptancePolicy,
        DeviceCertificate,
        KeyBinding,
        KeySet,
        PaymentRequest,
        Receipt,
        RevocationDelta,
        RevocationList,
        Transfer,
        Voucher,
    )
}


def _raw(given: Given, name: str) -> bytes:
    return bytes.fromhex(given[name])


def _read_object(given: Given) -> Signed[Any]:
    signed: Signed[Any] = unseal(_OBJECTS[given["name"]], _raw(given, "envelope"))
    # `payload` may be what was read; `to_payload` writes anew.
    assert signed.body.to_payload() == signed.body.payload, "writing gives other bytes"
    return signed


def _read_payment(given: Given) -> Payment:
    payment = Payment.decode(_raw(given, "payment"))
    assert payment.encode() == _raw(given, "payment"), "writing gives other bytes"
    return payment


def _key_set(given: Given) -> KeySet:
    """The key set, which the case takes for granted: its signature is not looked at."""
    return unseal(KeySet, _raw(given, "key_set")).body


def _context(given: Given) -> TrustContext:
    revoked = frozenset(map(bytes.fromhex, given["revoked"]))
    return TrustContext(_key_set(given), given["now"], given["floor"], revoked)


def _held(given: Given) -> Revoked:
    entries = _raw(given["held"], "entries")
    return Revoked(
        given["held"]["epoch"],
        frozenset(entries[at : at + 8] for at in range(0, len(entries), 8)),
    )


def _revoked_facts(revoked: Revoked) -> Json:
    return {"epoch": revoked.epoch, "entries": b"".join(sorted(revoked.prefixes)).hex()}


def _cbor(given: Given) -> Json:
    value = cbor.decode(_raw(given, "data"))
    assert cbor.encode(value) == _raw(given, "data"), "writing gives other bytes"
    return {"value": value_facts(value)}


def _base45(given: Given) -> Json:
    data = decode_base45(given["text"])
    assert encode_base45(data) == given["text"], "writing gives another text"
    return {"data": data.hex()}


def _key(given: Given) -> Json:
    key = PublicKey(_raw(given, "raw"))
    return {
        "id": key.id.hex(),
        "algorithm": int(key.algorithm),
        "prime_order": key.is_of_prime_order,
    }


def _signature(given: Given) -> Json:
    PublicKey(_raw(given, "key")).verify(_raw(given, "message"), _raw(given, "signature"))
    return {}


def _signed(given: Given) -> Json:
    signed = _read_object(given)
    check_signature(signed, PublicKey(_raw(given, "key")))
    return {"id": signed.id.hex()}


def _issuer_key(given: Given) -> Json:
    use = {1: KeyUse.ISSUE, 2: KeyUse.SETTLE}[given["use"]]
    return {"key": _key_set(given).key(_raw(given, "kid"), given["at"], use).raw.hex()}


def _offered_key_set(given: Given) -> Json:
    offered = unseal(KeySet, _raw(given, "offered"))
    in_use = unseal(KeySet, _raw(given, "in_use")).body if "in_use" in given else None
    taken = verify_key_set(offered, PublicKey(_raw(given, "root_key")), in_use)
    return {"id": taken.id.hex(), "version": taken.version}


def _revocation_list(given: Given) -> Json:
    signed = unseal(RevocationList, _raw(given, "list"))
    held = _held(given) if "held" in given else None
    return _revoked_facts(verify_revocation_list(signed, _key_set(given), held))


def _revocation_delta(given: Given) -> Json:
    signed = unseal(RevocationDelta, _raw(given, "delta"))
    return _revoked_facts(apply_revocation_delta(signed, _key_set(given), _held(given)))


def _policy(given: Given) -> Json:
    offered = unseal(AcceptancePolicy, _raw(given, "offered"))
    in_use = unseal(AcceptancePolicy, _raw(given, "in_use")).body if "in_use" in given else None
    taken = verify_acceptance_policy(offered, _key_set(given), in_use)
    return {"id": taken.id.hex(), "version": taken.version}


def _acceptance(given: Given) -> Json:
    rules = unseal(AcceptancePolicy, _raw(given, "policy")).body.rules
    facts = PaymentFacts.of(
        _read_payment(given), now=given["now"], revocation_time=given["revocation_time"]
    )
    verdict, applying = judge(facts, rules)
    plain = body_facts(facts)
    return {
        "facts": plain | {"amount": str(facts.amount)},
        "verdict": int(verdict),
        "applying": places_of(applying, rules),
    }


def _certificate_log(given: Given) -> Json:
    begin = LogHead(given["size"], _raw(given, "head")) if "head" in given else LogHead()
    after = begin.extend(map(bytes.fromhex, given["certificate_ids"]))
    return {"size": after.size, "head": after.head.hex()}


def _chain(given: Given) -> Json:
    chain = Chain.decode(_raw(given, "chain"))
    assert chain.encode() == _raw(given, "chain"), "writing gives other bytes"
    verify_chain(chain, TrustContext(_key_set(given), 0))
    return {
        "tip_id": chain.tip_id.hex(),
        "owner": chain.owner.raw.hex(),
        "lo": chain.lo,
        "hi": chain.hi,
        "hops_used": chain.hops_used,
        "currency": chain.currency,
        "voucher_id": chain.voucher.id.hex(),
    }


def _request(given: Given) -> Json:
    request = verify_request(unseal(PaymentRequest, _raw(given, "request")), _context(given))
    return {
        "request_id": request.request_id.hex(),
        "payee": request.payee.raw.hex(),
        "display_name": request.payee_certificate.body.display_name,
    }


def _last(payment: Payment) -> Json:
    ids = sorted(chain.tip_id.hex() for chain in payment.chains)
    return {"amount": str(payment.amount), "transfer_ids": ids}


def _payment(given: Given) -> Json:
    payment = _read_payment(given)
    request = unseal(PaymentRequest, _raw(given, "request")).body
    verify_payment(payment, request, _context(given))
    return _last(payment)


def _return(given: Given) -> Json:
    payment = _read_payment(given)
    verify_return(payment, [bytes.fromhex(each) for each in given["sent"]], _context(given))
    return _last(payment)


def _receipt(given: Given) -> Json:
    receipt = unseal(Receipt, _raw(given, "receipt"))
    request = unseal(PaymentRequest, _raw(given, "request")).body
    payment = _read_payment(given)
    verify_receipt(receipt, request, payment.transfer_ids, payment.amount)
    return {"id": receipt.id.hex()}


def _fraud_proof(given: Given) -> Json:
    proof = FraudProof.decode(_raw(given, "proof"))
    assert proof.encode() == _raw(given, "proof"), "writing gives other bytes"
    conviction = verify_fraud_proof(proof, _key_set(given))
    return {
        "key": conviction.key.raw.hex(),
        "parent": conviction.parent.hex(),
        "lo": conviction.lo,
        "hi": conviction.hi,
    }


def _clone_alarm(given: Given) -> Json:
    alarm = CloneAlarm.decode(_raw(given, "alarm"))
    assert alarm.encode() == _raw(given, "alarm"), "writing gives other bytes"
    return {"key": verify_clone_alarm(alarm, _key_set(given)).key.raw.hex()}


def _frame(given: Given) -> Json:
    kind, body = unpack(_raw(given, "data"))
    assert pack(kind, body) == _raw(given, "data"), "writing gives other bytes"
    return {"kind": int(kind), "body": body.hex()}


def _refusal(given: Given) -> Json:
    refusal = Refusal.decode(_raw(given, "data"))
    return {"number": refusal.number, "code": refusal.code}


def _text(given: Given) -> Json:
    frame = from_text(given["text"])
    unpack(frame)
    assert to_text(frame) == given["text"], "writing gives another text"
    return {"frame": frame.hex()}


def _fountain(given: Given) -> Json:
    fountain = Fountain(_raw(given, "frame"), characters_max=given["characters_max"])
    texts = [fountain.part(number).to_text() for number in given["numbers"]]
    return {"count": fountain.count, "texts": texts}


def _parts(given: Given) -> Json:
    collector = PartCollector()
    steps: list[Json] = []
    for text in given["texts"]:
        try:
            frame = collector.add(text)
        except ProtocolError as error:
            steps.append({"error": error.number})
        else:
            steps.append(None if frame is None else frame.hex())
    return {"steps": steps}


def _stream(given: Given) -> Json:
    reader = StreamReader()
    return {
        "messages": [
            each.hex() for chunk in given["chunks"] for each in reader.feed(bytes.fromhex(chunk))
        ]
    }


def _terms(fields: Json) -> Terms:
    return Terms(
        excluded=fields.get("excluded"),
        promised={account: int(sum_) for account, sum_ in fields["promised"].items()},
        borne_by={bytes.fromhex(parent): to for parent, to in fields["borne_by"].items()},
    )


def _sums(amounts: dict[str, str]) -> dict[str, int]:
    return {account: int(amount) for account, amount in amounts.items()}


def _settlement(given: Given) -> Json:
    accounts = {PublicKey(bytes.fromhex(key)): to for key, to in given["accounts"].items()}
    settlement = settle(
        [
            Root(
                Voucher.from_payload(bytes.fromhex(root["voucher"])),
                tuple(Transfer.from_payload(bytes.fromhex(each)) for each in root["transfers"]),
            )
            for root in given["roots"]
        ],
        account_of=accounts.__getitem__,
        excluded=given["excluded"],
        instant_limit=_sums(given["instant_limit"]),
        collateral=_sums(given["collateral"]),
        fund_cap=int(given["fund_cap"]),
        fund_caps=_sums(given["fund_caps"]),
        terms={bytes.fromhex(each): _terms(fields) for each, fields in given["terms"].items()},
        now=given["now"],
    )
    return {"roots": settlement_facts(settlement)}


KINDS: dict[str, Callable[[Given], Json]] = {
    "cbor": _cbor,
    "base45": _base45,
    "key": _key,
    "signature": _signature,
    "object": lambda given: object_facts(_read_object(given)),
    "signed": _signed,
    "issuer_key": _issuer_key,
    "key_set": _offered_key_set,
    "revocation_list": _revocation_list,
    "revocation_delta": _revocation_delta,
    "policy": _policy,
    "acceptance": _acceptance,
    "certificate_log": _certificate_log,
    "chain": _chain,
    "request": _request,
    "payment": _payment,
    "return": _return,
    "receipt": _receipt,
    "fraud_proof": _fraud_proof,
    "clone_alarm": _clone_alarm,
    "frame": _frame,
    "refusal": _refusal,
    "text": _text,
    "fountain": _fountain,
    "parts": _parts,
    "stream": _stream,
    "session": open_session,
    "settlement": _settlement,
}


"""What our implementation does for each kind of conformance case."""

from collections.abc import Callable

from tests.conformance.facts import object_facts
from tests.conformance.given import Given, Json
from tests.conformance.kinds_of_carriers import (
    judge_ble_address,
    judge_ble_fragment,
    judge_ble_resume,
    judge_ble_stream,
    judge_wire,
)
from tests.conformance.kinds_of_exchanges import judge_exchange, judge_talk
from tests.conformance.kinds_of_gossip import judge_news, judge_spends, judge_tags
from tests.conformance.kinds_of_issuers import (
    judge_acceptance,
    judge_certificate_log,
    judge_issuer_key,
    judge_offered_key_set,
    judge_policy,
    judge_revocation_delta,
    judge_revocation_list,
    judge_revocation_piece,
)
from tests.conformance.kinds_of_objects import (
    judge_base45,
    judge_cbor,
    judge_key,
    judge_signature,
    judge_signed,
    read_object,
)
from tests.conformance.kinds_of_payments import (
    judge_chain,
    judge_clone_alarm,
    judge_fraud_proof,
    judge_payment,
    judge_receipt,
    judge_request,
    judge_return,
)
from tests.conformance.kinds_of_travel import (
    judge_fountain,
    judge_frame,
    judge_parts,
    judge_refusal,
    judge_settlement,
    judge_stream,
    judge_text,
)
from tests.conformance.sessions import open_session

KINDS: dict[str, Callable[[Given], Json]] = {
    "cbor": judge_cbor,
    "base45": judge_base45,
    "key": judge_key,
    "signature": judge_signature,
    "object": lambda given: object_facts(read_object(given)),
    "signed": judge_signed,
    "issuer_key": judge_issuer_key,
    "key_set": judge_offered_key_set,
    "revocation_list": judge_revocation_list,
    "revocation_delta": judge_revocation_delta,
    "revocation_piece": judge_revocation_piece,
    "policy": judge_policy,
    "acceptance": judge_acceptance,
    "certificate_log": judge_certificate_log,
    "chain": judge_chain,
    "request": judge_request,
    "payment": judge_payment,
    "return": judge_return,
    "receipt": judge_receipt,
    "fraud_proof": judge_fraud_proof,
    "clone_alarm": judge_clone_alarm,
    "news": judge_news,
    "tags": judge_tags,
    "spends": judge_spends,
    "frame": judge_frame,
    "refusal": judge_refusal,
    "text": judge_text,
    "fountain": judge_fountain,
    "parts": judge_parts,
    "stream": judge_stream,
    "session": open_session,
    "wire": judge_wire,
    "exchange": judge_exchange,
    "talk": judge_talk,
    "ble_address": judge_ble_address,
    "ble_resume": judge_ble_resume,
    "ble_fragment": judge_ble_fragment,
    "ble_stream": judge_ble_stream,
    "settlement": judge_settlement,
}

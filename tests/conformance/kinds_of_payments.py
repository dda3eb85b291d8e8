"""Kinds of case about chains, requests, payments and evidence."""

from offline_protocol import (
    Chain,
    CloneAlarm,
    FraudProof,
    Payment,
    PaymentRequest,
    Receipt,
    TrustContext,
    unseal,
    verify_chain,
    verify_clone_alarm,
    verify_fraud_proof,
    verify_payment,
    verify_receipt,
    verify_request,
    verify_return,
)
from tests.conformance.given import Given, Json, context, key_set, raw, read_payment


def judge_chain(given: Given) -> Json:
    chain = Chain.decode(raw(given, "chain"))
    assert chain.encode() == raw(given, "chain"), "writing gives other bytes"
    verify_chain(chain, TrustContext(key_set(given), 0))
    return {
        "tip_id": chain.tip_id.hex(),
        "owner": chain.owner.raw.hex(),
        "lo": chain.lo,
        "hi": chain.hi,
        "hops_used": chain.hops_used,
        "currency": chain.currency,
        "voucher_id": chain.voucher.id.hex(),
    }


def judge_request(given: Given) -> Json:
    request = verify_request(unseal(PaymentRequest, raw(given, "request")), context(given))
    return {
        "request_id": request.request_id.hex(),
        "payee": request.payee.raw.hex(),
        "display_name": request.payee_certificate.body.display_name,
    }


def _last(payment: Payment) -> Json:
    ids = sorted(chain.tip_id.hex() for chain in payment.chains)
    return {"amount": str(payment.amount), "transfer_ids": ids}


def judge_payment(given: Given) -> Json:
    payment = read_payment(given)
    request = unseal(PaymentRequest, raw(given, "request")).body
    verify_payment(payment, request, context(given))
    return _last(payment)


def judge_return(given: Given) -> Json:
    payment = read_payment(given)
    verify_return(payment, [bytes.fromhex(each) for each in given["sent"]], context(given))
    return _last(payment)


def judge_receipt(given: Given) -> Json:
    receipt = unseal(Receipt, raw(given, "receipt"))
    request = unseal(PaymentRequest, raw(given, "request")).body
    payment = read_payment(given)
    verify_receipt(receipt, request, payment.transfer_ids, payment.amount)
    return {"id": receipt.id.hex()}


def judge_fraud_proof(given: Given) -> Json:
    proof = FraudProof.decode(raw(given, "proof"))
    assert proof.encode() == raw(given, "proof"), "writing gives other bytes"
    conviction = verify_fraud_proof(proof, key_set(given))
    return {
        "key": conviction.key.raw.hex(),
        "parent": conviction.parent.hex(),
        "lo": conviction.lo,
        "hi": conviction.hi,
    }


def judge_clone_alarm(given: Given) -> Json:
    alarm = CloneAlarm.decode(raw(given, "alarm"))
    assert alarm.encode() == raw(given, "alarm"), "writing gives other bytes"
    return {"key": verify_clone_alarm(alarm, key_set(given)).key.raw.hex()}

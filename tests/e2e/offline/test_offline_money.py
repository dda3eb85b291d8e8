"""Offline money over HTTP, from the card to the claim."""

from offline_protocol import (
    FraudProof,
    KeySet,
    PublicKey,
    unseal,
    verify_fraud_proof,
    verify_key_set,
)
from server.kit.schema import from_base64url
from tests.e2e.offline.conftest import MakeWallet
from tests.factories.identity import Client


async def test_money_goes_from_a_card_over_two_phones_back_to_an_account(
    make_wallet: MakeWallet,
) -> None:
    ada, bob = await make_wallet("ada_online"), await make_wallet("bob_online")
    (voucher,) = await ada.load(5_000)
    assert await ada.balance() == {
        "currency": "EUR",
        "posted": 0,
        "held": 0,
        "available": 0,
        "emergency": 0,
        "offline": 5_000,
    }

    claim = await bob.claim(ada.sign(voucher, 0, 1_250, bob.key))
    answer = await bob.sync(claim)

    assert [result["status"] for result in answer["results"]] == ["stored", "stored"]
    credited = next(event for event in answer["events"] if event["type"] == "credited")
    assert (credited["amount"], credited["currency"], credited["final"]) == (1_250, "EUR", True)
    assert (await bob.balance())["available"] == 1_250
    assert (await ada.balance())["offline"] == 3_750
    vouchers = (await ada.device.call("GET", "/v1/offline/vouchers")).json()
    assert [(each["value"], each["unpaid"]) for each in vouchers["items"]] == [(5_000, 3_750)]
    history = (await bob.device.call("GET", "/v1/history")).json()
    assert [(each["kind"], each["amount"]) for each in history["items"]] == [
        ("offline.credit", 1_250)
    ]


async def test_a_double_spend_is_proved_to_the_victims_and_to_nobody_else(
    make_wallet: MakeWallet, client: Client
) -> None:
    eve, bob = await make_wallet("eve_online"), await make_wallet("bob_online")
    cid, dan = await make_wallet("cid_online"), await make_wallet("dan_online")
    (voucher,) = await eve.load(5_000)
    to_bob = await bob.claim(eve.sign(voucher, 0, 2_000, bob.key))
    to_cid = await cid.claim(eve.sign(voucher, 0, 2_000, cid.key))
    await bob.sync(to_bob)
    await cid.sync(to_cid)
    await bob.sync()

    assert (await bob.balance())["available"] == 2_000
    assert (await cid.balance())["available"] == 2_000
    fork = next(event for event in bob.events if event["type"] == "fork_found")
    shown = await bob.device.call("GET", f"/v1/offline/fraud-proofs/{fork['proof_id']}")
    assert shown.status_code == 200
    issuer = (await client.get("/v1/offline/key-set")).json()
    key_set = unseal(KeySet, from_base64url(issuer["key_set"], field="key_set"))
    root = PublicKey(from_base64url(issuer["root_key"], field="root_key"))
    proof = FraudProof.decode(from_base64url(shown.json()["proof"], field="proof"))
    assert verify_fraud_proof(proof, verify_key_set(key_set, root)).key == eve.key

    refused = await dan.device.call("GET", f"/v1/offline/fraud-proofs/{fork['proof_id']}")
    assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    assert (await dan.device.call("GET", "/v1/offline/conflicts")).json()["items"] == []
    locked_out = await eve.device.call("GET", "/v1/balances")
    assert locked_out.status_code in {401, 403}


async def test_a_repeated_request_for_vouchers_gives_the_same_vouchers(
    make_wallet: MakeWallet,
) -> None:
    ada = await make_wallet("ada_online")
    await ada.money_call("/v1/top-ups", {"amount": 900, "currency": "EUR", "card": "sandbox-ok"})
    wish = {"amount": 500, "currency": "EUR"}
    answers = [await ada.money_call("/v1/offline/vouchers", wish, key="one") for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert (await ada.balance())["offline"] == 500


async def test_the_key_set_is_public(client: Client) -> None:
    answer = await client.get("/v1/offline/key-set")
    assert answer.status_code == 200
    assert answer.json().keys() == {"key_set", "root_key"}

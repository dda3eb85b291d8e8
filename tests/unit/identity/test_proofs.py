from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar.testing import RequestFactory

from offline_protocol.keys import Signer
from server.identity.calls import call_facts
from server.identity.errors import ProofInvalid, ProofOutOfTime
from server.identity.json_web_keys import SIGNED_AS, thumbprint
from server.identity.proofs import CallFacts, same_target, verify_proof
from server.kit.schema import from_base64url, to_base64url
from tests.factories.identity import jwk, make_proof, p256_signer, signer
from tests.unit.published.curves import ORDER_P256

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
URL = "https://pay.example/v1/me"
WINDOW = timedelta(seconds=60)
ED25519 = signer()


def _verify(header: str, call: CallFacts | None = None, **changes: Any) -> Any:
    options: dict[str, Any] = {"access_token": None, "now": NOW, "window": WINDOW} | changes
    return verify_proof(header, call or CallFacts("GET", URL, b""), **options)


def _proof(key: Signer = ED25519, **changes: Any) -> str:
    facts: dict[str, Any] = {"method": "GET", "url": URL, "now": NOW, "nonce": "n" * 16} | changes
    return make_proof(key, **facts)


both = pytest.mark.parametrize("key", [signer(), p256_signer()], ids=["Ed25519", "P-256"])


@both
def test_a_fitting_proof_names_its_key_and_is_known_again(key: Signer) -> None:
    proof = _verify(_proof(key))
    assert proof.key == key.public_key
    assert proof.thumbprint == thumbprint(key.public_key.raw)
    assert proof.nonce_digest == _verify(_proof(key)).nonce_digest
    assert proof.nonce_digest != _verify(_proof(key, nonce="m" * 16)).nonce_digest


@both
def test_a_changed_proof_is_none(key: Signer) -> None:
    header, claims, signature = _proof(key).split(".")
    for text in (
        f"{header}.{claims[:-4]}AAAA.{signature}",
        f"{header}.{claims}.{'A' * len(signature)}",
        f"{header}.{claims}.{signature[:-8]}",
        f"{header}.{claims}.",
    ):
        with pytest.raises(ProofInvalid):
            _verify(text)


@both
@pytest.mark.parametrize("name", ["EdDSA", "ES256", "Ed25519", "ES384", "HS256", "none", None])
def test_the_algorithm_is_the_keys_to_say(key: Signer, name: str | None) -> None:
    if name == SIGNED_AS[key.public_key.algorithm]:
        return
    with pytest.raises(ProofInvalid):
        _verify(_proof(key, header={"alg": name}))


@both
def test_a_proof_with_the_key_of_another_is_none(key: Signer) -> None:
    for other in (signer(2), p256_signer(2)):
        with pytest.raises(ProofInvalid):
            _verify(_proof(key, header={"jwk": jwk(other)}))


def test_a_turned_ecdsa_signature_is_the_same_proof() -> None:
    """Anybody can turn s into n - s: what is remembered is the proof's id, not its bytes."""
    text = _proof(p256_signer())
    signed, _, signature = text.rpartition(".")
    raw = from_base64url(signature, field="signature")
    turned = ORDER_P256 - int.from_bytes(raw[32:], "big")
    again = f"{signed}.{to_base64url(raw[:32] + turned.to_bytes(32, 'big'))}"
    assert again != text
    assert _verify(again).nonce_digest == _verify(text).nonce_digest


def test_a_proof_is_remembered_until_its_time_alone_refuses_it() -> None:
    for offset in (-60, 0, 60):
        header = _proof(iat=int(NOW.timestamp()) + offset)
        until = _verify(header).expires_at
        last = NOW + timedelta(seconds=60 + offset)
        assert _verify(header, now=last)
        assert until > last
        with pytest.raises(ProofOutOfTime):
            _verify(header, now=until)


def test_without_a_token_a_proof_names_none() -> None:
    with pytest.raises(ProofInvalid, match="with an access token"):
        _verify(_proof(token="some token"))
    assert _verify(_proof(token="some token"), access_token="some token")
    with pytest.raises(ProofInvalid, match="another access token"):
        _verify(_proof(), access_token="some token")


@pytest.mark.parametrize(
    ("claimed", "actual", "same"),
    [
        (URL, URL, True),
        (URL + "?a=1", URL + "?a=1", True),
        (URL, URL + "?a=1", True),
        (URL + "?a=1", URL, False),
        (URL + "?a=1", URL + "?a=2", False),
        ("HTTPS://PAY.example:443/v1/me", URL, True),
        ("https://pay.example:8443/v1/me", URL, False),
        ("http://pay.example/v1/me", URL, False),
        ("https://pay.example/v1/%6De", URL, True),
        ("https://pay.example/v1/ME", URL, False),
        ("https://pay.example/v1/me/", URL, False),
        ("https://user@pay.example/v1/me", URL, True),
        ("https://pay.example.evil/v1/me", URL, False),
        ("https://[bad/v1/me", URL, False),
        ("https://pay.example:x/v1/me", URL, False),
        ("", URL, False),
    ],
)
def test_targets_are_compared_by_meaning_not_by_spelling(
    claimed: str, actual: str, *, same: bool
) -> None:
    assert same_target(claimed, actual) is same


@given(st.text(max_size=300) | st.binary(max_size=300).map(lambda data: data.hex() + ".e30.AA"))
def test_no_header_whatever_brings_the_check_down(header: str) -> None:
    with pytest.raises(ProofInvalid):
        _verify(header)


@given(
    st.dictionaries(
        st.sampled_from(["jti", "htm", "htu", "iat", "bh", "ath"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.none()),
        min_size=1,
    )
)
def test_no_claim_whatever_brings_the_check_down(claims: dict[str, Any]) -> None:
    if claims == {"ath": None}:
        return
    try:
        _verify(_proof(**claims))
    except (ProofInvalid, ProofOutOfTime):
        return
    assert set(claims) <= {"jti", "iat", "ath"}


def test_the_address_is_the_public_one_when_there_is_one_and_no_host_header_counts() -> None:
    request = RequestFactory(server="testserver", port=80).get(
        "/v1/me", headers={"Host": "evil.example"}, query_params={"limit": "5"}
    )

    def address(public_url: str) -> str:
        settings: Any = SimpleNamespace(public_url=public_url)
        return call_facts(request, settings, b"").url

    assert address("https://pay.example/api/") == "https://pay.example/api/v1/me?limit=5"
    assert address("").endswith("/v1/me?limit=5")


@pytest.mark.parametrize(
    "nonce", ["n" * 15, "n" * 129, "\ud800" * 16, "\x00" * 16, "n" * 15 + "\u00e9"]
)
def test_a_nonce_is_printable_and_neither_short_nor_long(nonce: str) -> None:
    with pytest.raises(ProofInvalid):
        _verify(_proof(nonce=nonce))


@pytest.mark.parametrize("claim", ["htm", "htu", "bh", "ath"])
def test_text_that_is_none_is_refused_like_any_other(claim: str) -> None:
    changes: dict[str, Any] = {claim: "\ud800" * 16}
    with pytest.raises(ProofInvalid):
        _verify(_proof(**changes), access_token="some token")


def test_a_proof_nested_without_end_is_refused() -> None:
    deep = to_base64url(b"[" * 2_500)
    with pytest.raises(ProofInvalid):
        _verify(f"{deep}.{deep}.{deep[:86]}"[:4_096])


@pytest.mark.parametrize("host", ["[::1", "]]]:99999999", "x:99999999", "", "\xff"])
def test_a_host_that_is_none_fits_no_proof(host: str) -> None:
    request = RequestFactory().get("/v1/me", headers={"Host": host}, query_params={"a": "\xff"})
    settings = SimpleNamespace(public_url="")
    facts = call_facts(request, settings, b"")
    with pytest.raises(ProofInvalid):
        _verify(_proof(), facts)

"""DPoP proofs, read by an independent JWT library."""

import hashlib

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from client_sdk.api.auth import make_proof
from client_sdk.api.encoding import to_bytes, to_text
from client_sdk.testing import SeededEntropy
from offline_protocol.keys import SoftwareP256Signer, SoftwareSigner

SIGNER = SoftwareSigner(bytes(range(32)))


def proof(body: bytes = b"", token: str | None = None, seed: str = "jti") -> str:
    return make_proof(
        SIGNER,
        method="POST",
        url="https://pay.example/v1/top-ups",
        body=body,
        access_token=token,
        now=1_800_000_000,
        entropy=SeededEntropy(seed),
    )


def read(text: str) -> dict[str, object]:
    key = Ed25519PublicKey.from_public_bytes(SIGNER.public_key.raw)
    claims: dict[str, object] = jwt.decode(
        text, key, algorithms=["EdDSA"], options={"verify_iat": False}
    )
    return claims


def test_a_proof_is_a_jwt_that_others_can_read() -> None:
    text = proof(b'{"amount":1}', "token")
    assert jwt.get_unverified_header(text) == {
        "alg": "EdDSA",
        "typ": "dpop+jwt",
        "jwk": {"crv": "Ed25519", "kty": "OKP", "x": to_text(SIGNER.public_key.raw)},
    }
    claims = read(text)
    assert claims["htm"] == "POST"
    assert claims["htu"] == "https://pay.example/v1/top-ups"
    assert claims["iat"] == 1_800_000_000
    assert claims["bh"] == to_text(hashlib.sha256(b'{"amount":1}').digest())
    assert claims["ath"] == to_text(hashlib.sha256(b"token").digest())


def test_a_p256_key_proves_itself_with_es256() -> None:
    signer = SoftwareP256Signer(bytes(range(1, 33)))
    text = make_proof(
        signer,
        method="GET",
        url="https://pay.example/v1/me",
        body=b"",
        access_token=None,
        now=1_800_000_000,
        entropy=SeededEntropy("jti"),
    )
    header = jwt.get_unverified_header(text)
    assert (header["alg"], header["typ"]) == ("ES256", "dpop+jwt")
    key = jwt.PyJWK(header["jwk"])
    claims = jwt.decode(text, key, algorithms=["ES256"], options={"verify_iat": False})
    assert claims["htu"] == "https://pay.example/v1/me"
    shown = header["jwk"]
    assert to_bytes(shown["x"]) == signer.public_key.raw[1:]
    assert len(to_bytes(shown["y"])) == 32


def test_without_a_token_there_is_no_hash_of_one() -> None:
    claims = read(proof())
    assert "ath" not in claims
    assert claims["bh"] == to_text(hashlib.sha256(b"").digest())


def test_every_proof_has_an_id_of_its_own() -> None:
    first, second = read(proof(seed="a"))["jti"], read(proof(seed="b"))["jti"]
    assert first != second
    assert len(to_bytes(str(first))) == 16


def test_the_key_of_rfc_8037_gives_its_jwk() -> None:
    seed = to_bytes("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
    signer = SoftwareSigner(seed)
    assert to_text(signer.public_key.raw) == "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"

"""Device keys as JSON Web Keys, against published ones."""

from typing import Any

import msgspec
import pytest

from offline_protocol.errors import ProtocolError
from server.identity.json_web_keys import Jwk, jwk_of, public_key_of, thumbprint
from server.kit.errors import InvalidRequest
from server.kit.schema import to_base64url
from tests.factories.identity import p256_signer, signer

# RFC 7517 appendix A.1, RFC 8037 appendix A.2.
RFC_7517 = {
    "kty": "EC",
    "crv": "P-256",
    "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
}
RFC_8037 = {
    "kty": "OKP",
    "crv": "Ed25519",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
}


def _read(document: dict[str, Any]) -> bytes:
    jwk: Jwk = msgspec.convert(document, Jwk)
    return public_key_of(jwk).raw


@pytest.mark.parametrize("document", [RFC_7517, RFC_8037])
def test_a_published_key_is_read_and_written(document: dict[str, str]) -> None:
    raw = _read(document)
    assert jwk_of(raw) == document
    assert list(jwk_of(raw)) == sorted(document), "the order of RFC 7638"


def test_a_thumbprint_is_that_of_the_standards() -> None:
    assert thumbprint(_read(RFC_8037)) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    assert thumbprint(_read(RFC_7517)) == "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s"


@pytest.mark.parametrize(
    "change",
    [
        {"y": RFC_7517["x"]},
        {"y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyI"},
        {"y": to_base64url(bytes(31))},
        {"x": to_base64url(bytes(33))},
        {"x": to_base64url(b"\xff" * 32)},
        {"x": to_base64url(bytes(31))},
        {"x": "!"},
        {"x": ""},
    ],
)
def test_a_point_that_is_none_is_refused(change: dict[str, str]) -> None:
    with pytest.raises((ProtocolError, InvalidRequest, ValueError)):
        _read(RFC_7517 | change)


@pytest.mark.parametrize(
    "document",
    [
        RFC_7517 | {"crv": "P-384"},
        RFC_7517 | {"crv": "Ed25519"},
        RFC_7517 | {"kty": "OKP"},
        RFC_8037 | {"kty": "EC"},
        RFC_8037 | {"crv": "X25519"},
        RFC_7517 | {"d": "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"},
        RFC_8037 | {"kid": "one"},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        {"kty": "oct", "k": "AAAA"},
        {},
    ],
)
def test_other_kinds_and_private_parts_are_refused(document: dict[str, str]) -> None:
    with pytest.raises(msgspec.ValidationError):
        _read(document)


def test_no_two_keys_share_a_thumbprint() -> None:
    keys = [make(number).public_key for make in (signer, p256_signer) for number in range(1, 9)]
    assert len({thumbprint(key.raw) for key in keys}) == len(keys) == 16

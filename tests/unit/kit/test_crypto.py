import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.kit.crypto import SealBroken, Vault

VAULT = Vault(b"k" * 32)
NONCE = b"n" * 24


@given(st.binary(max_size=100), st.text(max_size=20))
def test_what_was_sealed_opens_for_the_same_context(plaintext: bytes, context: str) -> None:
    assert VAULT.open(VAULT.seal(plaintext, context, nonce=NONCE), context) == plaintext


def test_a_sealed_value_opens_nowhere_else() -> None:
    sealed = VAULT.seal(b"secret", "user/1/phone", nonce=NONCE)
    with pytest.raises(SealBroken):
        VAULT.open(sealed, "user/2/phone")
    with pytest.raises(SealBroken):
        Vault(b"x" * 32).open(sealed, "user/1/phone")


@given(st.data())
def test_a_changed_or_cut_value_does_not_open(data: st.DataObject) -> None:
    sealed = bytearray(VAULT.seal(b"secret", "c", nonce=NONCE))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(SealBroken):
        VAULT.open(bytes(sealed), "c")
    with pytest.raises(SealBroken):
        VAULT.open(bytes(sealed[: data.draw(st.integers(0, len(sealed) - 1))]), "c")


def test_a_blind_index_depends_on_key_context_and_value() -> None:
    indexes = {
        VAULT.blind_index("a", "phone"),
        VAULT.blind_index("b", "phone"),
        VAULT.blind_index("a", "email"),
        Vault(b"x" * 32).blind_index("a", "phone"),
    }
    assert len(indexes) == 4
    assert VAULT.blind_index("a", "phone") in indexes

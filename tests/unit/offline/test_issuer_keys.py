import stat
from datetime import timedelta
from pathlib import Path

import pytest

from offline_protocol import KeyUse, verify_key_set
from server.kit.crypto import Vault
from server.kit.ids import SystemIds
from server.offline import (
    IssuerKeys,
    IssuerKeysExist,
    IssuerKeysMissing,
    describe_issuer_keys,
    load_issuer_keys,
    make_issuer_keys,
)
from tests.fakes.clock import ManualClock

VAULT = Vault(b"m" * 32)


def _make(directory: Path, clock: ManualClock) -> IssuerKeys:
    return make_issuer_keys(directory, VAULT, issuer="Town", clock=clock, ids=SystemIds(clock))


def test_keys_that_were_made_load_again(tmp_path: Path, clock: ManualClock) -> None:
    made = _make(tmp_path / "keys", clock)
    loaded = load_issuer_keys(tmp_path / "keys", VAULT, clock)
    assert loaded.key_set == made.key_set
    (issuing,) = loaded.issue_signers
    assert issuing.public_key == made.issue_signers[0].public_key
    assert loaded.checkpoint_signer.public_key == made.checkpoint_signer.public_key
    key_set = verify_key_set(loaded.key_set, loaded.root_key)
    now = int(clock.now().timestamp())
    assert key_set.key(issuing.public_key.kid, now, KeyUse.ISSUE) == issuing.public_key
    assert loaded.issuer_at(now).public_key == issuing.public_key
    assert key_set.settles(loaded.settle_key_at(now), now)
    assert key_set.scale("JPY") == 0


def test_serving_needs_no_root_key(tmp_path: Path, clock: ManualClock) -> None:
    _make(tmp_path / "keys", clock)
    (tmp_path / "keys" / "root.key").unlink()
    load_issuer_keys(tmp_path / "keys", VAULT, clock)


def test_files_are_sealed_and_private(tmp_path: Path, clock: ManualClock) -> None:
    made = _make(tmp_path / "keys", clock)
    for path in (tmp_path / "keys").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    assert str(made.key_set.body.issuer) == "Town"
    with pytest.raises(IssuerKeysMissing, match="another master key"):
        load_issuer_keys(tmp_path / "keys", Vault(b"x" * 32), clock)


def test_keys_are_never_made_over_others(tmp_path: Path, clock: ManualClock) -> None:
    _make(tmp_path / "keys", clock)
    with pytest.raises(IssuerKeysExist, match="not empty"):
        _make(tmp_path / "keys", clock)


def test_missing_keys_say_how_to_make_them(tmp_path: Path, clock: ManualClock) -> None:
    with pytest.raises(IssuerKeysMissing, match="tallystick keys init"):
        load_issuer_keys(tmp_path / "keys", VAULT, clock)


@pytest.mark.parametrize(
    ("name", "other"), [("issue.key", "settle.key"), ("root.pub", "key-set.cose")]
)
def test_a_file_in_the_place_of_another_is_refused(
    tmp_path: Path, clock: ManualClock, name: str, other: str
) -> None:
    _make(tmp_path / "keys", clock)
    (tmp_path / "keys" / name).write_bytes((tmp_path / "keys" / other).read_bytes())
    with pytest.raises(IssuerKeysMissing):
        load_issuer_keys(tmp_path / "keys", VAULT, clock)


def test_an_issuing_key_that_has_ended_is_refused(tmp_path: Path, clock: ManualClock) -> None:
    _make(tmp_path / "keys", clock)
    clock.advance(timedelta(days=2 * 365 + 1))
    with pytest.raises(IssuerKeysMissing, match="No issuing key serves"):
        load_issuer_keys(tmp_path / "keys", VAULT, clock)


def test_the_description_holds_no_secret(tmp_path: Path, clock: ManualClock) -> None:
    made = _make(tmp_path / "keys", clock)
    described = str(describe_issuer_keys(made)) + repr(made)
    assert made.root_key.id.hex() in described
    for path in (tmp_path / "keys").glob("*.key"):
        seed = VAULT.open(path.read_bytes(), f"issuer_key/{path.stem}")
        assert seed.hex() not in described

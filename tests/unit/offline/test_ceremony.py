"""The key ceremony: new keys come into use, old ones stay, and nothing but the root decides."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from offline_protocol import IssuerKey, KeySet, KeyUse, seal
from offline_protocol.keys import SoftwareSigner
from server.kit.crypto import Vault
from server.kit.ids import SystemIds
from server.offline import (
    CeremonyRefused,
    IssuerKeys,
    IssuerKeysMissing,
    ceremony,
    load_issuer_keys,
    make_issuer_keys,
)
from tests.fakes.clock import ManualClock

VAULT = Vault(b"m" * 32)
DAY = 86_400
YEAR = 365 * DAY


class Installation:
    """A server's folder of keys, and the root key somewhere else."""

    def __init__(self, path: Path, clock: ManualClock) -> None:
        self.directory, self.clock, self.ids = path / "keys", clock, SystemIds(clock)
        make_issuer_keys(self.directory, VAULT, issuer="Town", clock=clock, ids=self.ids)
        self.root_file = path / "root.json"
        ceremony.export_root(self.directory, VAULT, self.root_file, "open sesame", ids=self.ids)

    @property
    def now(self) -> int:
        return int(self.clock.now().timestamp())

    @property
    def keys(self) -> IssuerKeys:
        return load_issuer_keys(self.directory, VAULT, self.clock)

    @property
    def root(self) -> SoftwareSigner:
        return ceremony.open_root(self.root_file.read_bytes(), "open sesame")

    def propose(
        self, *uses: KeyUse, ends: tuple[bytes, ...] = (), begins_in: int = 7 * DAY
    ) -> KeySet:
        return ceremony.propose(
            self.directory,
            VAULT,
            self.keys,
            ids=self.ids,
            uses=uses,
            now=self.now,
            begins=self.now + begins_in,
            life_s=2 * YEAR,
            ends=ends,
        )

    def rotate(self, *uses: KeyUse) -> KeySet:
        proposal = ceremony.read_proposal(self.propose(*uses).payload)
        signed = ceremony.accept(self.directory, self.keys, ceremony.sign(proposal, self.root))
        return signed.body


@pytest.fixture
def town(tmp_path: Path, clock: ManualClock) -> Installation:
    return Installation(tmp_path, clock)


def test_the_root_key_leaves_the_server_and_serving_goes_on(town: Installation) -> None:
    assert not (town.directory / "root.key").exists()
    assert town.root.public_key == town.keys.root_key
    assert ceremony.check_root(town.directory, town.root)
    assert town.root_file.stat().st_mode & 0o077 == 0
    with pytest.raises(CeremonyRefused, match="moved away"):
        ceremony.export_root(
            town.directory, VAULT, town.root_file.with_name("two"), "x", ids=town.ids
        )


def test_the_root_file_opens_with_its_passphrase_only(town: Installation) -> None:
    data = town.root_file.read_bytes()
    with pytest.raises(CeremonyRefused, match="passphrase"):
        ceremony.open_root(data, "open sesam")
    document = json.loads(data)
    for changes in (
        {"kind": "other"},
        {"memory_bytes": 1 << 40},
        {"operations": 0},
        {"sealed": "AAAA"},
        {"public_key": document["salt"]},
    ):
        with pytest.raises(CeremonyRefused):
            ceremony.open_root(json.dumps(document | changes).encode(), "open sesame")
    for nonsense in (b"", b"[]", b"{}", b"\xff"):
        with pytest.raises(CeremonyRefused):
            ceremony.open_root(nonsense, "open sesame")


def test_a_new_issuing_key_takes_over_when_it_begins_and_the_old_one_stays_listed(
    town: Installation,
) -> None:
    old = town.keys.issuer_at(town.now).public_key
    body = town.rotate(KeyUse.ISSUE)
    assert body.version == 2
    keys = town.keys
    assert keys.key_set.body == body
    assert keys.issuer_at(town.now).public_key == old
    later = town.now + 8 * DAY
    assert keys.issuer_at(later).public_key != old
    assert body.key(old.kid, later, KeyUse.ISSUE) == old


def test_keys_are_rotated_again_and_again_and_outlive_the_first(town: Installation) -> None:
    first = town.keys.issuer_at(town.now).public_key
    for version in (2, 3, 4):
        assert town.rotate(KeyUse.ISSUE, KeyUse.SETTLE).version == version
        town.clock.advance(timedelta(days=500))
    keys = town.keys
    assert keys.issuer_at(town.now).public_key != first
    assert keys.settle_key_at(town.now) != keys.issuer_at(town.now).public_key
    with pytest.raises(IssuerKeysMissing, match="propose"):
        keys.issuer_at(town.now + 3 * YEAR)


def test_a_stolen_key_ends_at_once(town: Installation) -> None:
    town.rotate(KeyUse.ISSUE)
    stolen = town.keys.issuer_at(town.now).public_key
    town.clock.advance(timedelta(days=8))
    proposal = town.propose(ends=(stolen.kid,))
    ceremony.accept(town.directory, town.keys, ceremony.sign(proposal, town.root))
    assert town.keys.issuer_at(town.now + 1).public_key != stolen
    with pytest.raises(CeremonyRefused, match="lists no key"):
        town.propose(ends=(b"none",))


def test_the_last_issuing_key_does_not_end_before_another_begins(town: Installation) -> None:
    """The server would not start again."""
    only = town.keys.issuer_at(town.now).public_key
    files = sorted(town.directory.iterdir())
    for uses in ((), (KeyUse.ISSUE,), (KeyUse.SETTLE,)):
        with pytest.raises(CeremonyRefused, match="begins at once"):
            town.propose(*uses, ends=(only.kid,))
    assert sorted(town.directory.iterdir()) == files, "no secret is left behind"
    proposal = town.propose(KeyUse.ISSUE, ends=(only.kid,), begins_in=0)
    ceremony.accept(town.directory, town.keys, ceremony.sign(proposal, town.root))
    town.clock.advance(timedelta(minutes=5))
    assert town.keys.issuer_at(town.now).public_key != only


def test_only_a_set_that_the_root_signed_and_that_follows_is_accepted(town: Installation) -> None:
    proposal = town.propose(KeyUse.ISSUE)
    good = ceremony.sign(proposal, town.root)
    impostor = SoftwareSigner(b"i" * 32)
    elsewhere = SoftwareSigner(b"e" * 32).public_key
    foreign = IssuerKey(elsewhere.kid, elsewhere, town.now, town.now + YEAR, KeyUse.ISSUE)
    without_secret = KeySet(
        version=2,
        issuer="Town",
        keys=(*town.keys.key_set.body.keys, foreign),
        epoch_floor=0,
        time=town.now,
        previous=town.keys.key_set.id,
    )
    before = (town.directory / "key-set.cose").read_bytes()
    for bad in (
        seal(proposal, impostor).envelope,
        good[:-1],
        b"",
        ceremony.sign(without_secret, town.root),
    ):
        with pytest.raises(CeremonyRefused):
            ceremony.accept(town.directory, town.keys, bad)
    assert (town.directory / "key-set.cose").read_bytes() == before
    ceremony.accept(town.directory, town.keys, good)
    stale = ceremony.sign(proposal, town.root)
    town.rotate(KeyUse.SETTLE)
    with pytest.raises(CeremonyRefused, match="not newer"):
        ceremony.accept(town.directory, town.keys, stale)


def test_a_proposal_that_is_no_key_set_is_refused() -> None:
    with pytest.raises(CeremonyRefused):
        ceremony.read_proposal(b"\xa0")


def test_what_is_signed_is_shown_in_words(town: Installation) -> None:
    lines = ceremony.describe(town.propose(KeyUse.ISSUE))
    assert lines[0] == "Town, key set 2"
    assert sum("issue" in line for line in lines) == 2
    assert lines[-1].startswith("id ")

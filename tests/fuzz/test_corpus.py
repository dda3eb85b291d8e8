"""Everything that fuzzing ever kept, run again; and every target with its seeds and their ruins."""

import random
from pathlib import Path

import pytest

from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_breaks_nothing(name: str) -> None:
    for path in sorted((CORPUS / name).glob("*")):
        TARGETS[name](path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_cut_and_changed_break_nothing(name: str) -> None:
    chance = random.Random(name)
    target = TARGETS[name]
    target(b"")
    for at, data in seeds():
        if at != name:
            continue
        target(data)
        for _ in range(40):
            ruined = bytearray(data)
            for _ in range(chance.randint(1, 3)):
                ruined[chance.randrange(len(ruined))] = chance.randrange(256)
            target(bytes(ruined))
            target(data[: chance.randrange(len(data))])


def test_every_target_has_a_corpus_and_no_crash_is_left() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)
    assert not list(CORPUS.glob("*/crash-*"))

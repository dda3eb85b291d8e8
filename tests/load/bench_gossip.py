"""What evidence does against one rolled-back phone, on recorded meetings of real people.

A cheat pays one piece of value again at every meeting that is long enough to pay. An honest payee
declines when a tag of that piece has been heard or a proof is held. Between the honest, a talk
swaps tags with the wallet's own limits (`client_sdk.hearsay`), proofs, and the records behind tags.
Several cheats run in one pass, each with a piece of its own; they tell nothing.

The traces lie beside the code and are no part of it; without them there is nothing to measure.
"""

import csv
import gzip
import json
import random
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from client_sdk.hearsay import FORWARD_DAYS, OWN_TAGS_MAX
from offline_protocol.gossip import TAGS_MAX

TRACES = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "contacts"
NAMES = ("workplace_invs15", "conference_sfhh09")
DAY = 86_400
HOUR = 3_600
PAY_SECONDS = 60
"""A meeting of this length is one at which somebody could pay."""
PAYMENTS_PER_DAY = 3
CHEATS = 10
PASSES = 4
POLICIES = {
    "none": "no evidence between devices",
    "at_payments": "at three payments for each person and day",
    "at_contacts": "at every meeting",
    "proofs_only": "at every meeting, warnings ignored: only proofs refuse",
}

Meeting = tuple[int, int, int, int]


@dataclass
class Phone:
    """One person's device: pieces it was paid with, tags it has heard, cheats it has proofs of.

    A piece that a cheat spends again has a negative number, one for each cheat.
    """

    own: list[int] = field(default_factory=list)
    heard: dict[int, int] = field(default_factory=dict)
    proofs: set[int] = field(default_factory=set)

    def tags(self, now: int) -> list[int]:
        told = self.own[: -OWN_TAGS_MAX - 1 : -1]
        for tag in reversed(self.heard):
            if len(told) >= TAGS_MAX or self.heard[tag] <= now - FORWARD_DAYS * DAY:
                break
            told.append(tag)
        return told

    def hear(self, tags: list[int], now: int) -> None:
        for tag in tags:
            if tag not in self.heard:
                self.heard[tag] = now


@dataclass
class Cheat:
    """One cheat's outcome; times are seconds of the trace."""

    piece: int
    start: int
    first: int | None = None
    payments: int = 0
    payments_first_day: int = 0
    proved: int | None = None


def meetings(name: str) -> tuple[int, list[Meeting]]:
    """How many people there are, and who meets whom, from when to when, in order."""
    with gzip.open(TRACES / name / "contacts.csv.gz", "rt") as file:
        rows = csv.reader(file)
        next(rows)
        found = sorted((int(s), int(e), int(a), int(b)) for s, e, a, b in rows)
    return 1 + max(max(a, b) for _, _, a, b in found), found


def run_pass(people: int, met: list[Meeting], policy: str, seed: int) -> list[Cheat]:
    """Play the trace once."""
    draw = random.Random(seed)
    phones = [Phone() for _ in range(people)]
    early = [start for start, *_ in met[: len(met) * 2 // 5]]
    chosen = draw.sample(range(people), CHEATS)
    cheats = {who: Cheat(-1 - number, draw.choice(early)) for number, who in enumerate(chosen)}
    days = (met[-1][1] - met[0][0]) / DAY
    share = min(1.0, PAYMENTS_PER_DAY * people * days / 2 / len(met))
    pieces = 0
    for start, end, one, other in met:
        for payer, payee in ((one, other), (other, one)):
            if payer in cheats and payee not in cheats and end - start >= PAY_SECONDS:
                _cheat(cheats[payer], phones[payee], start, policy)
        if one in cheats or other in cheats:
            continue
        pays = draw.random() < share
        if pays:
            pieces += 1
            phones[draw.choice((one, other))].own.append(pieces)
        if policy in {"at_contacts", "proofs_only"} or (policy == "at_payments" and pays):
            _talk(phones[one], phones[other], start, cheats)
    return list(cheats.values())


def _cheat(cheat: Cheat, phone: Phone, now: int, policy: str) -> None:
    if now < cheat.start or cheat.piece in phone.proofs:
        return
    if cheat.piece in phone.own:
        return  # the payee holds the first transfer itself; no cheat would try
    if cheat.piece in phone.heard and policy != "proofs_only":
        return
    phone.own.append(cheat.piece)
    cheat.first = now if cheat.first is None else cheat.first
    cheat.payments += 1
    cheat.payments_first_day += now < cheat.first + DAY


def _talk(one: Phone, other: Phone, now: int, cheats: dict[int, Cheat]) -> None:
    told, answered = one.tags(now), other.tags(now)
    both = {piece for piece in told if piece < 0 and piece in one.own and piece in other.own}
    for cheat in cheats.values():
        if cheat.piece in both:
            cheat.proved = now if cheat.proved is None else cheat.proved
    proofs = one.proofs | other.proofs | both
    one.proofs |= proofs
    other.proofs |= proofs
    one.hear(answered, now)
    other.hear(told, now)


def figures(name: str) -> Iterator[dict[str, object]]:
    """Victims beyond the first payment, and hours until the first proof, for each policy."""
    people, met = meetings(name)
    base: float | None = None
    for policy, words in POLICIES.items():
        done = [
            cheat
            for seed in range(PASSES)
            for cheat in run_pass(people, met, policy, seed)
            if cheat.first is not None
        ]
        victims = sorted(cheat.payments - 1 for cheat in done)
        hours = [
            (cheat.proved - cheat.first) / HOUR
            for cheat in done
            if cheat.proved is not None and cheat.first is not None
        ]
        mean = statistics.mean(victims)
        base = mean if base is None else base
        yield {
            "name": f"gossip.{name}.{policy}",
            "value": round(mean, 2),
            "unit": "double spends by one phone",
            "ratio": round(mean / base, 2) if base else None,
            "to": "no evidence between devices",
            "policy": words,
            "p95": victims[int(len(victims) * 0.95) - 1],
            "first_day": round(statistics.mean(c.payments_first_day - 1 for c in done), 2),
            "median_hours_to_proof": round(statistics.median(hours), 1) if hours else None,
            "proved": f"{len(hours)} of {len(done)}",
        }


async def run(only: str | None) -> None:
    """Print one JSON line for each trace and policy whose name begins with ``only``."""
    for name in NAMES:
        prefix = f"gossip.{name}"
        if only is not None and not (prefix.startswith(only) or only.startswith(prefix)):
            continue
        if not (TRACES / name).is_dir():
            reason = f"no recorded meetings at {TRACES.name}/{name} beside the code"
            sys.stdout.write(json.dumps({"name": prefix, "skipped": reason}) + "\n")
            continue
        for figure in figures(name):
            if only is None or str(figure["name"]).startswith(only):
                sys.stdout.write(json.dumps(figure) + "\n")
                sys.stdout.flush()

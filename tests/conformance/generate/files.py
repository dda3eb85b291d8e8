"""All files of vectors, as they are written."""

from collections.abc import Callable

from tests.conformance.generate import (
    bluetooth,
    chains,
    envelopes,
    evidence,
    exchanges,
    frames,
    gossip,
    issuers,
    keys,
    malformed,
    objects,
    payments,
    requests,
    revocations,
    sessions,
    settlements,
    talks,
    wires,
)
from tests.conformance.generate.cases import Vectors

MAKERS: tuple[Callable[[], Vectors], ...] = (
    malformed.vectors,
    keys.vectors,
    envelopes.vectors,
    objects.vectors,
    issuers.vectors,
    chains.vectors,
    requests.vectors,
    payments.vectors,
    evidence.vectors,
    frames.vectors,
    frames.fountain_vectors,
    gossip.vectors,
    sessions.vectors,
    settlements.vectors,
    exchanges.vectors,
    wires.vectors,
    talks.vectors,
    bluetooth.vectors,
    revocations.trail_vectors,
)


def texts() -> dict[str, str]:
    """Every file by its name."""
    return {f"{made.stem}.json": made.to_text() for made in (make() for make in MAKERS)}

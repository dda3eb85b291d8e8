"""Our own implementation as a client of the conformance runner.

One case as JSON on each line of the input, one verdict on each line of the output:
`python -m tests.conformance.client`.
"""

import json
import sys
from typing import Any

from offline_protocol import ProtocolError
from tests.conformance.kinds import KINDS

Json = Any


def judge(kind: str, given: dict[str, Json]) -> dict[str, Json]:
    """The verdict on one case: facts, or number and code of the refusal."""
    act = KINDS.get(kind)
    if act is None:
        return {"unsupported": True}
    try:
        return {"ok": act(given)}
    except ProtocolError as error:
        return {"error": error.number, "code": error.code}


def answer(message: dict[str, Json]) -> dict[str, Json]:
    """The answer to one line."""
    if "hello" in message:
        return {"name": "tallystick", "kinds": list(KINDS)}
    return judge(message["kind"], message["input"])


if __name__ == "__main__":
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(json.loads(line))) + "\n")
        sys.stdout.flush()

"""Drives any implementation of the protocol through the conformance vectors.

`python -m tests.conformance.runner -- COMMAND...` starts the command, gives it one case as JSON on
each line, takes one verdict from each line of its answer, and prints what differs.
`docs/how-to/implement-the-protocol.md` describes the lines.
"""

import argparse
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.conformance.vector_files import FOLDER, Case, cases

Json = Any
_DIFFERENCES_SHOWN = 10
_WIDTH = 600


class ClientEnded(Exception):
    """The implementation ended, or wrote something that is no answer."""


class Implementation(AbstractContextManager["Implementation"]):
    """A program that answers cases, for as long as the context lasts."""

    def __init__(self, command: Sequence[str], *, cwd: Path | None = None) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=cwd
        )
        self.name = ""
        self.kinds: frozenset[str] = frozenset()

    def __enter__(self) -> Self:
        hello = self._ask({"hello": 1})
        self.name, self.kinds = hello["name"], frozenset(hello["kinds"])
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.communicate()

    def judge(self, case: Case) -> dict[str, Json]:
        """The verdict of the implementation on one case."""
        return self._ask({"kind": case.kind, "input": case.given})

    def _ask(self, message: dict[str, Json]) -> dict[str, Json]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise ClientEnded("the program has ended") from error
        line = self._process.stdout.readline()
        if not line:
            raise ClientEnded("the program ended instead of answering")
        answer = json.loads(line)
        if not isinstance(answer, dict):
            raise ClientEnded(f"no answer: {line[:_WIDTH]}")
        return answer


@dataclass
class Report:
    """What came of a run: cases by kind and verdict, those passed over, and what differs."""

    name: str
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    unsupported: Counter[str] = field(default_factory=Counter)
    differences: list[tuple[Case, dict[str, Json]]] = field(default_factory=list)

    @property
    def agreed(self) -> int:
        return self.counts.total()

    def table(self) -> str:
        """Counts by kind: good cases, refused ones, and how many error numbers these have."""
        rows: list[tuple[str, ...]] = [("kind", "ok", "refused", "numbers", "not supported")]
        kinds = sorted({kind for kind, _ in self.counts} | set(self.unsupported))
        for kind in kinds:
            verdicts = {verdict: n for (each, verdict), n in self.counts.items() if each == kind}
            good = verdicts.pop("ok", 0)
            row = (kind, good, sum(verdicts.values()), len(verdicts), self.unsupported[kind])
            rows.append(tuple(map(str, row)))
        numbers = {verdict for _, verdict in self.counts} - {"ok"}
        good = sum(n for (_, verdict), n in self.counts.items() if verdict == "ok")
        total = (good, self.agreed - good, len(numbers), self.unsupported.total())
        rows.append(("all", *map(str, total)))
        return "\n".join(
            f"{kind:<18}" + "".join(f"{cell:>15}" for cell in cells) for kind, *cells in rows
        )

    def to_text(self) -> str:
        shown = [
            f"{case.file}: {case.name} [{case.kind}]\n"
            f"  expected {json.dumps(case.expected)[:_WIDTH]}\n"
            f"  got      {json.dumps(got)[:_WIDTH]}"
            for case, got in self.differences[:_DIFFERENCES_SHOWN]
        ]
        ending = f"{self.name}: {self.agreed} agree, {len(self.differences)} differ"
        return "\n".join([self.table(), *shown, ending])


def run(implementation: Implementation, given: Iterable[Case]) -> Report:
    """Ask about every case whose kind the implementation knows."""
    report = Report(implementation.name)
    for case in given:
        if case.kind not in implementation.kinds:
            report.unsupported[case.kind] += 1
            continue
        verdict = implementation.judge(case)
        if verdict == case.expected:
            report.counts[case.kind, case.verdict] += 1
        else:
            report.differences.append((case, verdict))
    return report


def main() -> int:
    """Run a command; 0 when it agrees with every vector of the kinds that it knows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vectors", type=Path, default=FOLDER, help="folder of vector files")
    parser.add_argument("command", nargs="+", help="starts the implementation; after --")
    arguments = parser.parse_args()
    with Implementation(arguments.command) as implementation:
        report = run(implementation, cases(arguments.vectors))
    sys.stdout.write(report.to_text() + "\n")
    return 1 if report.differences or not report.agreed else 0


if __name__ == "__main__":
    sys.exit(main())

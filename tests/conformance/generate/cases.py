"""A case, a file of cases, and how it is written."""

import json
from dataclasses import dataclass, field
from typing import Any

from tests.conformance.client import judge

Json = Any
FORMAT = 1


@dataclass(frozen=True)
class Ref:
    """Stands in an input for something that many cases of the file share."""

    name: str


@dataclass
class Vectors:
    """One file of cases.

    Attributes:
        stem: name of the file.
        about: one line for people.
        shared: values that stand in the file once; an input names them by `Ref`.
    """

    stem: str
    about: str
    shared: dict[str, Json] = field(default_factory=dict)
    _cases: list[dict[str, Json]] = field(default_factory=list)
    _names: set[tuple[str, str]] = field(default_factory=set)

    def add(self, kind: str, name: str, /, *, error: int | None = None, **given: Json) -> None:
        """Add a case that is good, or is refused with this number."""
        assert (kind, name) not in self._names, f"two cases of {self.stem} are called {name!r}"
        self._names.add((kind, name))
        verdict = judge(kind, resolve(given, self.shared))
        found = verdict.get("error")
        assert found == error, f"{self.stem}, {name}: meant {error}, got {verdict}"
        written = {key: _write(value) for key, value in given.items()}
        self._cases.append({"name": name, "kind": kind, "input": written, "expected": verdict})

    def share(self, name: str, value: Json) -> Ref:
        """Put a value into the file once."""
        assert self.shared.setdefault(name, value) == value, f"{name} is shared already"
        return Ref(name)

    def to_text(self) -> str:
        """The file: a case on each line, so that changes can be read."""
        lines = ",\n".join(map(_dump, self._cases))
        shared = ",\n".join(f"{_dump(name)}: {_dump(value)}" for name, value in self.shared.items())
        return (
            f'{{\n"format": {FORMAT},\n"about": {_dump(self.about)},\n'
            f'"shared": {{\n{shared}\n}},\n"cases": [\n{lines}\n]\n}}\n'
        )


def _dump(value: Json) -> str:
    return json.dumps(value, ensure_ascii=True, separators=(", ", ": "))


def _write(value: Json) -> Json:
    if isinstance(value, Ref):
        return {"shared": value.name}
    return value.hex() if isinstance(value, bytes) else value


def resolve(given: dict[str, Json], shared: dict[str, Json]) -> dict[str, Json]:
    """An input as a client gets it: nothing shared, bytes in hex."""
    return {
        name: shared[value.name] if isinstance(value, Ref) else _write(value)
        for name, value in given.items()
    }

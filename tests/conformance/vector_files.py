"""The frozen vector files, read as an outsider reads them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = Any

FOLDER = Path(__file__).parent / "vectors"
SCHEMA = Path(__file__).parent / "schemas" / "vectors.schema.json"


@dataclass(frozen=True)
class Case:
    """A case with everything shared put in."""

    file: str
    name: str
    kind: str
    given: dict[str, Json]
    expected: dict[str, Json]

    @property
    def verdict(self) -> str:
        """`ok`, or the number of the refusal."""
        return "ok" if "ok" in self.expected else str(self.expected["error"])


def documents(folder: Path = FOLDER) -> dict[str, Json]:
    """Every file of a folder by its stem."""
    files = sorted(folder.glob("*.json"))
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}


def cases(folder: Path = FOLDER) -> Iterator[Case]:
    """Every case of a folder, file by file."""
    for stem, document in documents(folder).items():
        shared = document["shared"]
        for case in document["cases"]:
            given = {name: _put_in(value, shared) for name, value in case["input"].items()}
            yield Case(stem, case["name"], case["kind"], given, case["expected"])


def _put_in(value: Json, shared: dict[str, Json]) -> Json:
    refers = isinstance(value, dict) and value.keys() == {"shared"}
    return shared[value["shared"]] if refers else value

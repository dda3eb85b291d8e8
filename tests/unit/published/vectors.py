"""Published test vectors, where the machine has them beside the repository."""

import json
from pathlib import Path
from typing import Any

import pytest

_FOLDER = Path(__file__).resolve().parents[4] / "shared" / "references" / "vectors"


def published(*path: str) -> Any:
    """A JSON file of the published vectors; the test is skipped when it is not there."""
    file = _FOLDER.joinpath(*path)
    if not file.is_file():
        pytest.skip(f"published vectors are not on this machine: {'/'.join(path)}")
    return json.loads(file.read_text(encoding="utf-8"))


def published_folder(*path: str) -> list[tuple[str, Any]]:
    """Every JSON file of a folder, with its name."""
    folder = _FOLDER.joinpath(*path)
    if not folder.is_dir():
        pytest.skip(f"published vectors are not on this machine: {'/'.join(path)}")
    files = sorted(folder.glob("*.json"))
    return [(file.stem, json.loads(file.read_text(encoding="utf-8"))) for file in files]

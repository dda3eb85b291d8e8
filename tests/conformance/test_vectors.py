"""The vectors are what the reference writes, and they look into every corner."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import offline_protocol.fraud
from offline_protocol import RULES, ProtocolError, errors
from tests.conformance.generate.files import texts
from tests.conformance.kinds import KINDS
from tests.conformance.schema_check import Schema
from tests.conformance.vector_files import FOLDER, SCHEMA, Case, cases, documents

ALL = tuple(cases())
PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "implement-the-protocol.md"
FAMILIES = frozenset({100, 300, 400, 500, 600, 700})


def _codes() -> dict[int, str]:
    """Every error of the protocol: of the rules, of the classes, and of evidence."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = {
        kind.NUMBER: kind.CODE
        for kind in kinds
        if issubclass(kind, ProtocolError) and kind.NUMBER not in FAMILIES
    }
    source = Path(offline_protocol.fraud.__file__).read_text(encoding="utf-8")
    codes |= {int(n): code for n, code in re.findall(r'number=(\d+), code="(\w+)"', source)}
    return codes | {rule.number: rule.name for rule in RULES}


def _numbers_in(value: Any) -> Iterator[int]:
    """Numbers of refusals anywhere in what is expected, those of single steps too."""
    if isinstance(value, dict):
        if isinstance(value.get("error"), int):
            yield value["error"]
        for inner in value.values():
            yield from _numbers_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _numbers_in(inner)


def test_the_frozen_vectors_are_what_the_reference_writes() -> None:
    written = texts()
    frozen = {file.name: file.read_text(encoding="utf-8") for file in FOLDER.iterdir()}
    assert sorted(frozen) == sorted(written)
    changed = [name for name, text in written.items() if frozen[name] != text]
    assert changed == [], "run `python -m tests.conformance.generate` if the change is meant"


@pytest.mark.parametrize("stem", sorted(documents()))
def test_a_file_of_vectors_follows_its_schema(stem: str) -> None:
    schema = Schema(json.loads(SCHEMA.read_text(encoding="utf-8")))
    assert list(schema.complaints(documents()[stem])) == []


def test_every_error_number_has_a_case_and_its_own_code() -> None:
    codes = _codes()
    found = {number for case in ALL for number in _numbers_in(case.expected)}
    assert found == set(codes)
    told = {
        (case.expected["error"], case.expected["code"]) for case in ALL if "error" in case.expected
    }
    assert told <= set(codes.items())


def test_more_cases_are_refused_than_taken() -> None:
    verdicts = Counter("ok" if case.verdict == "ok" else "refused" for case in ALL)
    assert verdicts["refused"] > 2 * verdicts["ok"]


def test_every_kind_of_case_is_asked_about() -> None:
    assert {case.kind for case in ALL} == set(KINDS)


def test_every_kind_of_case_stands_in_the_schema_once() -> None:
    case = json.loads(SCHEMA.read_text(encoding="utf-8"))["$defs"]["case"]
    assert case["properties"]["kind"]["enum"] == sorted(KINDS)
    described = [each["if"]["properties"]["kind"]["const"] for each in case["allOf"]]
    assert described == sorted(KINDS)


def _tables() -> tuple[list[str], list[str]]:
    """Kinds that the page names as steps of building, and those of its table of kinds."""
    text = PAGE.read_text(encoding="utf-8")
    steps = [line.split("|")[3] for line in text.splitlines() if re.match(r"\| \d+ ", line)]
    _, table = text.split("## The kinds of case\n")
    return re.findall(r"`(\w+)`", " ".join(steps)), re.findall(r"(?m)^\| `(\w+)` \|", table)


def test_every_kind_of_case_stands_in_both_tables_of_the_page() -> None:
    steps, table = _tables()
    assert sorted(steps) == sorted(table) == sorted(KINDS)


def test_the_page_names_every_input_of_a_kind() -> None:
    case = json.loads(SCHEMA.read_text(encoding="utf-8"))["$defs"]["case"]
    _, table = PAGE.read_text(encoding="utf-8").split("## The kinds of case\n")
    rows = dict(re.findall(r"(?m)^\| `(\w+)` \| (.+?) \|", table))
    for each in case["allOf"]:
        kind = each["if"]["properties"]["kind"]["const"]
        if kind in {"settlement", "certificate_log"}:
            continue  # told in words
        needed = set(each["then"]["properties"]["input"]["required"])
        assert needed <= set(re.findall(r"\w+", rows[kind])), kind


def test_no_two_cases_of_a_file_are_called_alike() -> None:
    names = Counter((case.file, case.kind, case.name) for case in ALL)
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("algorithm", [-19, -9])
def test_every_kind_of_object_is_there_in_both_algorithms(algorithm: int) -> None:
    header = {-19: "8443a10132a0", -9: "8443a10128a0"}[algorithm]
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    good = {
        case.given["name"]
        for case in ALL
        if case.kind == "signed"
        and case.verdict == "ok"
        and case.given["envelope"].startswith(header)
    }
    assert good == set(schema["$defs"]["objectName"]["enum"])


@pytest.mark.parametrize("algorithms", ["Ed25519", "P-256", "mixed", "mixed the other way"])
def test_there_are_chains_of_every_length(algorithms: str) -> None:
    hops = {
        case.expected["ok"]["hops_used"]
        for case in ALL
        if case.kind == "chain" and case.verdict == "ok" and case.name.startswith(f"{algorithms}, ")
    }
    assert hops == set(range(9))


def test_a_settlement_has_one_outcome_in_every_order() -> None:
    outcomes: dict[str, list[Case]] = {}
    for case in ALL:
        if case.kind == "settlement":
            name = re.sub(", (backwards and doubled|in parts)$", "", case.name)
            outcomes.setdefault(name, []).append(case)
    assert sum(len(told) == 3 for told in outcomes.values()) > 50
    for told in outcomes.values():
        assert all(case.expected == told[0].expected for case in told)
        records = [json.dumps(case.given["roots"]) for case in told]
        assert len(set(records)) == len(records)


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        ({"kind": "riddle"}, "none of"),
        ({"input": {"data": "0"}}, "choices"),
        ({"input": {"data": "00", "more": 1}}, "has a field more"),
        ({"input": {}}, "has no data"),
        ({"expected": {"ok": {}, "error": 101, "code": "x"}}, "choices"),
        ({"expected": {"error": "101", "code": "malformed_cbor"}}, "choices"),
        ({"name": ""}, "too short"),
    ],
)
def test_the_schema_finds_what_is_wrong(spoil: dict[str, Any], complaint: str) -> None:
    document = json.loads(json.dumps(documents()["cbor"]))
    document["cases"] = [document["cases"][0] | spoil]
    schema = Schema(json.loads(SCHEMA.read_text(encoding="utf-8")))
    assert any(complaint in found for found in schema.complaints(document))

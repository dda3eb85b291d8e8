"""The specification says what the code does: rules, errors, fields, names and limits."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import segno

import offline_protocol
from offline_protocol import cbor, constants, errors
from offline_protocol.certificates import KeySet
from offline_protocol.chains import Payment
from offline_protocol.errors import ProtocolError
from offline_protocol.frames import FrameKind, pack, to_text
from offline_protocol.verification import RULES
from tests.factories.protocol import Issuer
from tests.unit.offline_protocol.test_objects import BODIES

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "protocol.md").read_text(encoding="utf-8")
KINDS: list[Any] = sorted({type(body) for body in BODIES}, key=lambda kind: kind.NAME)


def _rows(text: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]


def test_the_rule_table_is_the_list_that_is_walked() -> None:
    written = [row for row in _rows(TEXT) if len(row) == 4 and row[0].isdigit()]
    walked = [
        [str(rule.number), f"`{rule.name}`", str(rule.about), rule.statement] for rule in RULES
    ]
    assert written == walked


def test_every_error_that_is_not_a_rule_has_its_line() -> None:
    written = {
        int(row[0]): row[1].strip("`") for row in _rows(TEXT) if len(row) == 3 and row[0].isdigit()
    }
    families = {100, 300, 400, 500, 600, 700}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    raised = {
        kind.NUMBER: kind.CODE
        for kind in kinds
        if issubclass(kind, ProtocolError) and kind.NUMBER not in families
    }
    source = "".join(
        path.read_text(encoding="utf-8") for path in Path(errors.__file__).parent.glob("fraud.py")
    )
    in_fraud = re.findall(r'number=(\d+), code="(\w+)"', source)
    assert len(in_fraud) == 7
    raised |= {int(number): code for number, code in in_fraud}
    fields = {number: code for number, code in written.items() if number > 100}
    assert fields == raised


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.NAME)
def test_the_field_tables_name_the_fields_that_are_written(kind: Any) -> None:
    _, _, section = TEXT.partition(f"name `{kind.NAME}`")
    section = section.partition("\n### ")[0]
    table = {
        int(row[0].split()[0]): row[0].split()[1].strip("*")
        for row in _rows(section)
        if row[0][:1].isdigit()
    }
    used: set[int] = set()
    for body in BODIES:
        if type(body) is kind:
            fields = cbor.decode(body.to_payload())
            assert type(fields) is dict
            used |= set(fields)
    assert set(table) == used
    attributes = {name for name in table.values() if name != "type"}
    assert attributes == {field.name for field in dataclasses.fields(kind)}


def test_names_and_type_numbers_are_distinct() -> None:
    assert len({kind.NAME for kind in KINDS}) == len(KINDS)
    types = [kind.TYPE for kind in KINDS if kind is not KeySet]
    assert sorted(types) == [2, 3, 4, 5, 6, 7, 8, 9, 10]


def test_every_frame_kind_is_listed() -> None:
    for kind in FrameKind:
        assert f"| {kind.value} {kind.name} |" in TEXT


def test_the_limits_in_the_text_are_the_limits_in_the_code() -> None:
    words = " ".join(TEXT.split())
    assert f"{constants.OBJECT_BYTES_MAX} bytes for an object" in words
    assert f"{constants.PAYMENT_BYTES_MAX} for a payment" in words
    assert f"At most {constants.DEPTH_MAX} arrays" in words
    assert f"at most {constants.CHAIN_LINKS_MAX} hops" in words
    assert f"array of 1 to {constants.CHAINS_MAX} chains" in words
    assert f"may differ by {constants.CLOCK_SLACK_S} s" in words


@pytest.mark.parametrize(("hops", "version", "error"), [(1, 15, "M"), (3, 25, "L"), (6, 40, "M")])
def test_payments_fit_the_qr_codes_that_the_text_names(hops: int, version: int, error: str) -> None:
    issuer = Issuer()
    chain = issuer.chain(issuer.device(0))
    for number in range(hops):
        request = issuer.device(number + 1).request(1_250)
        chain = issuer.device(number).pay(chain, request).chains[0]
    text = to_text(pack(FrameKind.PAYMENT, Payment((chain,)).encode()))
    code = segno.make_qr(text, version=version, error=error, boost_error=False)
    assert code.mode == "alphanumeric"
    assert f"version {version}-{error}" in TEXT


def test_every_exported_name_exists_and_no_other_is_promised() -> None:
    assert sorted(offline_protocol.__all__) == sorted(set(offline_protocol.__all__))
    for name in offline_protocol.__all__:
        assert getattr(offline_protocol, name) is not None

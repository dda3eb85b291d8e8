"""Events are promises to readers outside: named once, described, and frozen once published."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from scripts import events
from scripts.events import (
    FOLDER,
    SchemaFrozen,
    house_events,
    same_shape,
    schema_file,
    schema_text,
    write_events,
)
from server.kit.outbox import KEY_MAX, NAME_MAX, PARTIES, Event
from tests.architecture.test_docs import ROOT

_PUBLISHED = ROOT / "docs" / "reference" / FOLDER
_KINDS = house_events()
_each = pytest.mark.parametrize("kind", _KINDS, ids=lambda kind: kind.type)
_PERSONAL = re.compile(r"name|phone|mail|address|iban|password|secret|token|note|text|message")


def test_no_two_events_share_a_type() -> None:
    types = [kind.type for kind in _KINDS]
    assert len(types) > 10
    assert sorted(set(types)) == types


@_each
def test_an_event_is_named_as_all_are(kind: type[Event]) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*\.[a-z]+(_[a-z]+)*", kind.type)
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", kind.topic)
    assert max(len(kind.type), len(kind.topic)) <= NAME_MAX < KEY_MAX
    assert kind.version >= 1
    assert kind.key is not Event.key, "an event says what orders it"


@_each
def test_an_event_holds_no_person_and_no_fraction(kind: type[Event]) -> None:
    assert [name for name in kind.__struct_fields__ if _PERSONAL.search(name)] == []
    assert '"number"' not in schema_text(kind)


@_each
def test_a_published_schema_never_changes(kind: type[Event]) -> None:
    path = _PUBLISHED / schema_file(kind)
    assert path.exists(), "run `make docs`"
    assert same_shape(path.read_text(encoding="utf-8"), schema_text(kind)), (
        "readers rely on this version: give the class a new one"
    )


def test_what_is_published_belongs_to_an_event() -> None:
    newest = {kind.type: kind.version for kind in _KINDS}
    for path in _PUBLISHED.iterdir():
        kind, _, version = path.stem.rpartition(".")
        assert 1 <= int(version) <= newest[kind], path.name
        schema: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        assert schema["$id"] == f"urn:tallystick:event:{kind}:{version}"


def test_an_event_of_users_names_them_in_the_usual_way() -> None:
    users = {
        name
        for kind in _KINDS
        for name in kind.__struct_fields__
        if re.search(r"user|sender|receiver|payer|payee|requester|merchant|customer", name)
    }
    assert users <= set(PARTIES)


def test_changed_fields_need_a_new_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = _KINDS[0]
    monkeypatch.setattr(events, "house_events", lambda: [kind])
    write_events(tmp_path)
    path = tmp_path / FOLDER / schema_file(kind)
    published = json.loads(path.read_text())
    published["description"] = "other words"
    path.write_text(json.dumps(published))
    write_events(tmp_path)
    assert path.read_text() == schema_text(kind)

    published["properties"]["one_more"] = {"type": "string"}
    path.write_text(json.dumps(published))
    with pytest.raises(SchemaFrozen):
        write_events(tmp_path)

"""The reference of events: a page, and a JSON Schema for each type and version.

A schema that was published is frozen: readers outside rely on it. When the fields of an event
change, its class gets a new ``version``, and the old schema stays beside the new one.
"""

import importlib
import json
import pkgutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

import server
from server.kit.event_log import schema_name
from server.kit.outbox import Event, event_classes, told_to_users

FOLDER = "events"
_PAGE = """# Events

What is told to others, by type. The JSON Schema of each lies in [events](events); what carries it,
in what order it comes and how to read it stands in [Events](../events.md). A customer's server is
told of those in the column "webhook" ([Webhooks](../webhooks.md)).

| type | topic | version | webhook | what happened |
| --- | --- | --- | --- | --- |
"""


class SchemaFrozen(Exception):
    """The fields of an event changed, and its version did not."""


def house_events() -> list[type[Event]]:
    """Return every event of the server, by type."""
    for module in _event_modules():
        importlib.import_module(module)
    return [kind for kind in event_classes() if kind.__module__.startswith("server.")]


def event_pages() -> dict[str, Callable[[], str]]:
    """Return the pages of this reference by name, below docs/reference."""
    schemas: dict[str, Callable[[], str]] = {
        f"{FOLDER}/{schema_file(kind)}": partial(schema_text, kind) for kind in house_events()
    }
    return {"events.md": events_page, **schemas}


def events_page() -> str:
    told = told_to_users()
    return _PAGE + "".join(
        f"| [`{kind.type}`]({FOLDER}/{schema_file(kind)}) | {kind.topic} | {kind.version} | "
        f"{'yes' if kind.type in told else 'no'} | {_first_line(kind)} |\n"
        for kind in house_events()
    )


def schema_file(kind: type[Event]) -> str:
    return f"{kind.type}.{kind.version}.json"


def schema_text(kind: type[Event]) -> str:
    """Return the JSON Schema of an event's fields."""
    described = msgspec.json.schema(kind)
    definitions: dict[str, Any] = described.pop("$defs")
    _, _, name = described["$ref"].rpartition("/")
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": schema_name(kind.type, kind.version),
        **definitions.pop(name),
        "title": kind.type,
        **({"$defs": definitions} if definitions else {}),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def write_events(reference: Path) -> None:
    """Write what is new.

    Raises:
        SchemaFrozen: see there.
    """
    (reference / FOLDER).mkdir(exist_ok=True)
    for name, page in event_pages().items():
        path, text = reference / name, page()
        if path.suffix == ".json" and path.exists() and not same_shape(path.read_text(), text):
            raise SchemaFrozen(f"{name} was published with other fields: raise the class's version")
        path.write_text(text, encoding="utf-8")


def same_shape(one: str, other: str) -> bool:
    """Return whether two schemas differ in their descriptions at most."""
    bare: list[Any] = [_without_descriptions(json.loads(text)) for text in (one, other)]
    return bool(bare[0] == bare[1])


def _without_descriptions(part: Any) -> Any:
    if isinstance(part, dict):
        return {
            name: _without_descriptions(value)
            for name, value in part.items()
            if name != "description" or not isinstance(value, str)
        }
    return [_without_descriptions(value) for value in part] if isinstance(part, list) else part


def _event_modules() -> Iterator[str]:
    for module in pkgutil.walk_packages(server.__path__, "server."):
        if module.name.endswith(".events"):
            yield module.name


def _first_line(kind: type[Event]) -> str:
    documented = kind.__doc__ or ""
    return documented.strip().split("\n")[0] if "__doc__" in vars(kind) else ""

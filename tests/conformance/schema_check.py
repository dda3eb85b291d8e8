"""As much of JSON Schema (draft 2020-12) as the schema of the vectors uses."""

import re
from collections.abc import Iterator
from typing import Any

Json = Any

_TYPES: dict[str, Any] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
}
_NOTES = frozenset({"$defs", "$schema", "description", "title"})
_KNOWN = _NOTES | {
    *("$ref", "additionalProperties", "allOf", "const", "enum", "if", "items", "maximum"),
    *("minItems", "minLength", "minimum", "oneOf", "pattern", "properties", "required", "then"),
    "type",
}


class Schema:
    """A schema with references into its own definitions."""

    def __init__(self, root: Json) -> None:
        self._root = root

    def complaints(self, value: Json) -> Iterator[str]:
        """What is wrong with a document, with the place of each."""
        yield from self._check(value, self._root, "$")

    def _check(self, value: Json, schema: Json, at: str) -> Iterator[str]:
        unknown = schema.keys() - _KNOWN
        assert not unknown, f"the checker does not know {sorted(unknown)}"
        if "$ref" in schema:
            yield from self._check(value, self._target(schema["$ref"]), at)
        if "type" in schema and not _TYPES[schema["type"]](value):
            yield f"{at} is no {schema['type']}"
            return
        yield from _check_value(value, schema, at)
        if isinstance(value, dict):
            yield from self._check_object(value, schema, at)
        if isinstance(value, list) and "items" in schema:
            for place, item in enumerate(value):
                yield from self._check(item, schema["items"], f"{at}[{place}]")
        yield from self._check_choices(value, schema, at)

    def _target(self, reference: str) -> Json:
        found = self._root
        for name in reference.removeprefix("#/").split("/"):
            found = found[name]
        return found

    def _check_object(self, value: dict[str, Json], schema: Json, at: str) -> Iterator[str]:
        for name in schema.get("required", ()):
            if name not in value:
                yield f"{at} has no {name}"
        properties = schema.get("properties", {})
        others = schema.get("additionalProperties", True)
        for name, inner in value.items():
            if name in properties:
                yield from self._check(inner, properties[name], f"{at}.{name}")
            elif others is False:
                yield f"{at} has a field {name}"
            elif others is not True:
                yield from self._check(inner, others, f"{at}.{name}")

    def _check_choices(self, value: Json, schema: Json, at: str) -> Iterator[str]:
        for each in schema.get("allOf", ()):
            yield from self._check(value, each, at)
        if "oneOf" in schema:
            fitting = sum(not any(self._check(value, each, at)) for each in schema["oneOf"])
            if fitting != 1:
                yield f"{at} fits {fitting} of the choices"
        if "if" in schema and not any(self._check(value, schema["if"], at)):
            yield from self._check(value, schema["then"], at)


def _check_value(value: Json, schema: Json, at: str) -> Iterator[str]:
    if "const" in schema and value != schema["const"]:
        yield f"{at} is not {schema['const']!r}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at} is none of {schema['enum']}"
    if isinstance(value, str):
        if "pattern" in schema and not re.search(schema["pattern"], value):
            yield f"{at} does not match {schema['pattern']}"
        if len(value) < schema.get("minLength", 0):
            yield f"{at} is too short"
    if isinstance(value, list) and len(value) < schema.get("minItems", 0):
        yield f"{at} has too few items"
    if _TYPES["integer"](value) and not (
        schema.get("minimum", value) <= value <= schema.get("maximum", value)
    ):
        yield f"{at} is out of range"

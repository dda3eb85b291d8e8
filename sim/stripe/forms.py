"""Bodies as the interface spells them: ``a[b][0]=c`` in form encoding."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

_PART = re.compile(r"\[([^\[\]]*)\]")
Params = dict[str, Any]


class BadForm(Exception):
    """A name that contradicts another one, or brackets that do not close."""


def decode(text: str) -> Params:
    """Return nested dictionaries and lists of texts.

    Raises:
        BadForm: the names contradict each other.
    """
    root: Params = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        head, bracket, rest = name.partition("[")
        parts = _PART.findall(bracket + rest)
        if bracket + rest != "".join(f"[{part}]" for part in parts) or not head:
            raise BadForm(name)
        _put(root, [head, *parts], value)
    return {key: _lists(value) for key, value in root.items()}


def _put(node: Params, path: list[str], value: str) -> None:
    for part in path[:-1]:
        node = node.setdefault(part, {})
        if not isinstance(node, dict):
            raise BadForm(part)
    last = path[-1] or str(len(node))
    node[last] = value


def _lists(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    inner = {key: _lists(each) for key, each in value.items()}
    if inner and all(key.isdigit() for key in inner):
        return [inner[key] for key in sorted(inner, key=int)]
    return inner

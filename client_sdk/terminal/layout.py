"""Help texts whose indented paragraphs keep their lines."""

from collections.abc import Callable
from inspect import cleandoc
from typing import Any, Final, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

_VERBATIM: Final = "\b\n"
"""What click looks for before a paragraph that it must not wrap."""


def keep_layout(function: Function) -> Function:
    """Mark the paragraphs of a command's docstring that have indented lines as they are."""
    paragraphs = cleandoc(function.__doc__ or "").split("\n\n")
    function.__doc__ = "\n\n".join(
        _VERBATIM + text if "\n  " in text else text for text in paragraphs
    )
    return function

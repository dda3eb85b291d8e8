"""A property that is worked out once.

`functools.cached_property` takes a lock up to Python 3.11, which costs more than hashing an object.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    lazy = property
else:

    class lazy:  # noqa: N801 -- used like `property`
        """Like `functools.cached_property`; two threads may both work it out, to the same value."""

        def __init__(self, work_out: Callable[[Any], Any]) -> None:
            self._work_out = work_out
            self.__doc__ = work_out.__doc__

        def __set_name__(self, _: type, name: str) -> None:
            self._name = name

        def __get__(self, instance: object, _: type) -> Any:
            if instance is None:
                return self
            # From now on the value itself is found first.
            value = self._work_out(instance)
            object.__setattr__(instance, self._name, value)
            return value

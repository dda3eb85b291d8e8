"""What the parties of a conflict are told about each step of a dispute."""

from collections.abc import Mapping
from types import MappingProxyType

ACCUSED, VICTIM = "offender", "victim"
_WORDS: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        ("opened", ACCUSED): "You contested this. An officer will look at the evidence.",
        ("opened", VICTIM): (
            "The owner of the device contests this. What you were credited does not depend on it."
        ),
        ("proposed", ACCUSED): "An officer has looked at it; a second one has to agree.",
        ("proposed", VICTIM): "An officer has looked at it; a second one has to agree.",
        ("upheld", ACCUSED): "The decision is that you bear the cost. The debt stays.",
        ("upheld", VICTIM): "The decision is that the owner of the device bears the cost.",
        ("overturned", ACCUSED): (
            "The decision is that you do not bear the cost. What was taken from you for it is "
            "given back. The device stays blocked; you may enrol a new one."
        ),
        ("overturned", VICTIM): (
            "The decision is that we bear the cost in place of the owner. "
            "You keep all that you were credited."
        ),
    }
)


def told(step: str, role: str) -> str:
    """Return a step in the words for one of the parties."""
    return _WORDS[step, role]

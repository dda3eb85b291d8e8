"""Daily and monthly limits by level, kind of movement and currency, counted with the money.

```python
refusals = await use_limits(tx, tenant, [LimitUse(user, LimitKind.TRANSFER, "EUR", 2_500)])
if refusals[0] is not None:
    raise refusals[0]
```
"""

from server.payments.limits.domain import LimitKind, LimitUse, PastUse
from server.payments.limits.errors import LimitExceeded, LimitRateUnknown
from server.payments.limits.levels import levels_of, set_level
from server.payments.limits.usage import count_uses, give_back, use_limits

__all__ = [
    "LimitExceeded",
    "LimitKind",
    "LimitRateUnknown",
    "LimitUse",
    "PastUse",
    "count_uses",
    "give_back",
    "levels_of",
    "set_level",
    "use_limits",
]

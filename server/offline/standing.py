"""What a user owes, and how much of it the user's own money covers. Pure.

A user who owes has no available balance until the debt is covered: whatever becomes available is
recovered at once. Recovered money is the collateral from which victims are paid before the
guarantee fund is asked, so it changes the settlement, which in turn may change what somebody else
can cover; `server.offline.settlement` goes round until nothing moves.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Standing:
    """One user in one currency. Amounts are minor units, none below zero.

    ``owed`` is the debt for units signed away more than once and ``recovered`` the part of it that
    was taken from the user. ``overdrawn`` is credit that the user had already spent online when it
    turned out not to be due.
    """

    owed: int = 0
    recovered: int = 0
    overdrawn: int = 0

    @property
    def outstanding(self) -> int:
        return self.owed - self.recovered + self.overdrawn


def restate(
    before: Standing, *, available: int, change: int, owed: int, final_use: int
) -> Standing:
    """Return the standing once a user's free credits changed and the debt is ``owed``.

    ``available`` is the ledger's balance before anything of this is posted and ``change`` what the
    new credits add to it (or take). ``final_use`` is collateral that closed vouchers have used:
    it is never given back, since what it paid for is final. The outcome depends on the sums only,
    not on the steps that led there, so the order of syncs does not matter.
    """
    worth = available + before.recovered - before.overdrawn + change
    recovered = min(max(worth, final_use), owed)
    return Standing(owed, recovered, max(0, recovered - worth))

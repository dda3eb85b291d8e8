"""What a user owes, and how much of it the user's own money covers. Pure.

A user who owes has no available balance until the debt is covered: whatever becomes available is
recovered at once, after all that was set aside as collateral. Recovered money is what victims are
paid from before the guarantee fund is asked, so it changes the settlement, which in turn may
change what somebody else can cover; `server.offline.settlement` goes round until nothing moves.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Standing:
    """One user in one currency. Amounts are minor units, none below zero.

    ``owed`` is the debt for units signed away more than once and ``recovered`` the part of it that
    was taken from the user, of which ``secured`` came from collateral. ``overdrawn`` is credit that
    the user had already spent online when it turned out not to be due, and ``cushioned`` is
    collateral that stands in for more of the same. Of what is outstanding, nobody expects
    ``written_off`` to be paid.
    """

    owed: int = 0
    recovered: int = 0
    overdrawn: int = 0
    secured: int = 0
    cushioned: int = 0
    written_off: int = 0

    @property
    def outstanding(self) -> int:
        return self.owed - self.recovered + self.overdrawn

    @property
    def taken(self) -> int:
        """What was recovered from the available balance."""
        return self.recovered - self.secured

    @property
    def written_off_debt(self) -> int:
        """The part of what is written off that was owed for units; the rest was overdrawn."""
        return min(self.written_off, self.owed - self.recovered)


def restate(
    before: Standing,
    *,
    available: int,
    change: int,
    owed: int,
    final_use: int,
    collateral: int = 0,
) -> Standing:
    """Return the standing once a user's free credits changed and the debt is ``owed``.

    ``available`` is the ledger's balance before anything of this is posted and ``change`` what the
    new credits add to it (or take). ``collateral`` is all that the user has set aside, the used
    part included. ``final_use`` is recovered money that closed vouchers have used: it is never
    given back, since what it paid for is final. The outcome depends on the sums only, not on the
    steps that led there, so the order of syncs does not matter.
    """
    cash = available + before.taken - before.overdrawn - before.cushioned + change
    recovered = min(max(cash + collateral, final_use), owed)
    secured = min(collateral, recovered)
    short = max(0, recovered - secured - cash)
    cushioned = min(collateral - secured, short)
    overdrawn = short - cushioned
    outstanding = owed - recovered + overdrawn
    return Standing(
        owed=owed,
        recovered=recovered,
        overdrawn=overdrawn,
        secured=secured,
        cushioned=cushioned,
        # Money that comes after all is taken as before, and the write-off falls with the debt.
        written_off=min(before.written_off, outstanding),
    )

"""Background work of transfers. Each job is safe to run in several processes at once."""

from collections.abc import Awaitable, Callable

from server.payments.transfers.paying import expire_requests
from server.payments.transfers.pending import settle_pending
from server.payments.transfers.running import run_schedules
from server.payments.transfers.service import Transfers


def transfer_jobs(transfers: Transfers) -> dict[str, Callable[[], Awaitable[object]]]:
    """Return the jobs by name."""
    uow, desk = transfers.uow, transfers.desk
    return {
        "settle_pending_transfers": lambda: settle_pending(uow, desk),
        "run_transfer_schedules": lambda: run_schedules(uow, desk),
        "expire_money_requests": lambda: expire_requests(uow, desk),
    }

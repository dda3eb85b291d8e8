"""What histories and papers say of a transfer: the other side, and the note."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from server.kit.auth import Caller
from server.kit.unit_of_work import Tx
from server.payments.history import Detail
from server.payments.transfers.desk import TransferDesk
from server.payments.transfers.schemas import PersonView
from server.payments.transfers.views import transfer_views


@dataclass(frozen=True, slots=True)
class TransferExplainer:
    """Explains transfers to those who take part in them."""

    desk: TransferDesk

    async def __call__(self, tx: Tx, caller: Caller, ids: Sequence[UUID]) -> Mapping[UUID, Detail]:
        views = await transfer_views(tx, self.desk, caller.user_id, ids)
        return {view.id: Detail(_name(view.counterpart), view.note) for view in views}


def _name(person: PersonView) -> str | None:
    name = person.name or person.address
    return f"{name} (@{person.username})" if name and person.username else name

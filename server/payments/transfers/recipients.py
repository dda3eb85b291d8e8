"""From what somebody typed or scanned to a recipient, and the name that it leads to."""

from uuid import UUID

from server.identity import Address, Payee, find_payees, lookup_refusal, read_recipient
from server.kit.errors import TooManyRequests
from server.kit.unit_of_work import Tx, UnitOfWork
from server.payments.transfers.desk import TransferDesk
from server.payments.transfers.domain import Recipient, Via
from server.payments.transfers.errors import PayCodeInvalid
from server.payments.transfers.pay_codes import looks_like_code, read_code
from server.payments.transfers.plans import unknown_recipient
from server.payments.transfers.schemas import RecipientView
from server.payments.transfers.views import shown_person


def read(desk: TransferDesk, text: str) -> Recipient | None:
    """Return who is meant, None when it can be nobody. Nothing is looked up.

    Raises:
        PayCodeInvalid: it is a code, but a damaged or foreign one, or one of a request.
    """
    if looks_like_code(text):
        meant = read_code(desk.vault, text)
        if meant.user_id is None:
            raise PayCodeInvalid(
                "This code is of a request for money.",
                fix="Pay it with POST /v1/money-requests/{id}/pay.",
                request_id=str(meant.request_id),
            )
        return Recipient(Via.CODE, user_id=meant.user_id)
    found = read_recipient(text, vault=desk.vault, region=desk.settings.phone_region)
    if found is None:
        return None
    if isinstance(found, UUID):
        return Recipient(Via.USER, user_id=found)
    if isinstance(found, Address):
        return Recipient(Via(found.kind.value), address=found)
    return Recipient(Via.USERNAME, username=found)


async def find(
    uow: UnitOfWork, desk: TransferDesk, caller: UUID, text: str
) -> tuple[Via, Payee | None]:
    """Return how and who is meant by what somebody typed, and count the look.

    Nobody: an address that nobody has confirmed, where money would wait.

    Raises:
        RecipientUnknown: nobody can be meant by it.
        PayCodeInvalid: a code that is damaged or foreign.
        TooManyRequests: the caller looked too many up; unknown ones count too.
    """
    recipient = read(desk, text)

    async def command(tx: Tx) -> TooManyRequests | Payee | None:
        if refusal := await lookup_refusal(tx, desk.tenant, caller):
            return refusal
        return None if recipient is None else await _look_up(tx, desk.tenant, recipient)

    found = await uow.run(command)
    if isinstance(found, TooManyRequests):
        raise found
    waits = recipient is not None and recipient.address is not None and found is None
    if recipient is None or not (waits or (found is not None and found.may_hold_money)):
        raise unknown_recipient()
    return recipient.via, found


async def find_registered(
    uow: UnitOfWork, desk: TransferDesk, caller: UUID, text: str
) -> tuple[Via, Payee]:
    """Return how and who is meant. Raises as `find` does, also for an address of nobody."""
    via, found = await find(uow, desk, caller, text)
    if found is None:
        raise unknown_recipient()
    return via, found


async def resolve(uow: UnitOfWork, desk: TransferDesk, caller: UUID, text: str) -> RecipientView:
    """Say who would receive money that is sent to this. Raises as `find` does."""
    via, found = await find(uow, desk, caller, text)
    if found is None:
        return RecipientView(name=None, username=None, waits=True)
    shown = shown_person(found, via, None)
    return RecipientView(name=shown.name, username=shown.username, waits=False)


async def _look_up(tx: Tx, tenant: int, recipient: Recipient) -> Payee | None:
    people = await find_payees(
        tx,
        tenant,
        ids=[recipient.user_id] if recipient.user_id is not None else (),
        usernames=[recipient.username] if recipient.username is not None else (),
        addresses=[recipient.address] if recipient.address is not None else (),
    )
    found = [*people.by_index.values(), *people.by_username.values(), *people.by_id.values()]
    return found[0] if found else None

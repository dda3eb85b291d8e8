"""An invoice for one movement of somebody's money."""

from dataclasses import dataclass
from uuid import UUID

from server.kit.auth import Caller
from server.kit.errors import NotFound
from server.kit.i18n import isolated_text
from server.kit.unit_of_work import Tx
from server.ledger import AccountKind, AccountRef, StatementLine, find_line, lines_around
from server.payments.history.details import Detail, Subject, details_of, subject_of
from server.payments.history.wording import title
from server.payments.papers.desk import PaperDesk, Reader, code, common

Line = tuple[AccountRef, StatementLine]


@dataclass(frozen=True, slots=True)
class Movement:
    """One line and what belongs to it: fees, or the other currency of an exchange."""

    line: Line
    others: tuple[Line, ...]
    subject: Subject | None
    detail: Detail


async def find_movement(tx: Tx, desk: PaperDesk, caller: Caller, entry: UUID) -> Movement:
    """Return a movement of the caller's available balance.

    Raises:
        NotFound: there is none with this id, or it is somebody else's.
    """
    kind = AccountKind.USER_AVAILABLE
    found = await find_line(tx, caller.tenant, caller.user_id, entry, kind=kind)
    if found is None:
        raise NotFound("You have no movement with this id.", fix="Take an id of GET /v1/history.")
    subject = subject_of(found[1])
    others: tuple[Line, ...] = ()
    if subject is not None:
        around = await lines_around(tx, caller.tenant, caller.user_id, found[1], kind=kind)
        others = tuple(
            other for other in around if subject_of(other[1]) == subject and other[1].entry != entry
        )
    explained = await details_of(tx, caller, [found[1]], desk.explainers)
    return Movement(found, others, subject, explained.get(entry, Detail()))


def invoice(desk: PaperDesk, reader: Reader, movement: Movement) -> dict[str, object]:
    """Return what the template of an invoice needs."""
    ref, line = movement.line
    words = reader.words
    named = title(line.kind, words)
    number = f"{line.at:%Y%m%d}-{str(line.entry)[-12:].upper()}"
    return common(desk, reader, title=words.say("Invoice"), number=code(number)) | {
        "kind": named,
        "amount": words.amount(line.delta, ref.asset, signed=True),
        "facts": _facts(desk, reader, movement),
    }


def _facts(desk: PaperDesk, reader: Reader, movement: Movement) -> list[tuple[str, str]]:
    ref, line = movement.line
    words, detail = reader.words, movement.detail
    other_side = isolated_text(detail.counterpart or desk.issuer)
    sender, receiver = (other_side, reader.name) if line.delta > 0 else (reader.name, other_side)
    facts = [
        (words.say("Date"), words.moment(line.at, reader.zone)),
        (words.say("What"), title(line.kind, words)),
        (words.say("From"), sender),
        (words.say("To"), receiver),
        (words.say("Amount"), words.amount(abs(line.delta), ref.asset)),
    ]
    facts += [
        (title(other.kind, words), words.amount(other.delta, place.asset, signed=True))
        for place, other in movement.others
    ]
    if detail.note:
        facts.append((words.say("Note"), isolated_text(detail.note)))
    if movement.subject is not None:
        reference = f"{movement.subject.type}/{movement.subject.id}"
        facts.append((words.say("Reference"), code(reference)))
    facts.append((words.say("Ledger entry"), code(str(line.entry))))
    return facts

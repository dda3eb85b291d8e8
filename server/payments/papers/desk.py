"""What making a paper needs, and what all papers say alike."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from server.identity import find_user, language_of
from server.kit.auth import Caller
from server.kit.i18n import Language, Words, isolated_text, language_for, words_of
from server.kit.unit_of_work import Tx, UnitOfWork
from server.payments.explainers import Explainers
from server.payments.papers.signing import DocumentSigner
from server.payments.papers.typesetting import Typesetter


@dataclass(frozen=True, slots=True)
class PaperDesk:
    """The tools of whoever makes papers. ``issuer`` is the name that stands on top."""

    uow: UnitOfWork
    typesetter: Typesetter
    signer: DocumentSigner
    explainers: Explainers
    issuer: str

    async def finish(self, template: str, data: dict[str, object], *, made_at: datetime) -> bytes:
        """Set a paper and sign it."""
        return await self.signer.sign(
            await self.typesetter.typeset(template, data, made_at=made_at)
        )


@dataclass(frozen=True, slots=True)
class Reader:
    """For whom a paper is made."""

    caller: Caller
    name: str
    words: Words
    zone: ZoneInfo


async def reader_of(
    tx: Tx, caller: Caller, *, language: Language | None, accepted: str | None, zone: ZoneInfo
) -> Reader:
    """Return who reads, in the language of the request, else their own, else the header's."""
    user = await find_user(tx, caller.tenant, caller.user_id)
    chosen = language or await language_of(tx, caller.tenant, caller.user_id)
    words = words_of(language_for(accepted, chosen))
    name = isolated_text(user.display_name)
    return Reader(caller, f"{name} ({code(f'@{user.username}')})", words, zone)


def common(desk: PaperDesk, reader: Reader, *, title: str, number: str) -> dict[str, object]:
    """Return what every template needs."""
    words = reader.words
    return {
        "issuer": desk.issuer,
        "title": title,
        "number": words.say("No. {number}", number=number),
        "lang": words.language.value,
        "rtl": words.direction == "rtl",
        "digits": words.digits,
        "page_text": words.say("Page {page} of {pages}", page="{page}", pages="{pages}"),
        "footer": words.say(
            "Signed electronically by {issuer}. A PDF reader shows whether anything was changed.",
            issuer=desk.issuer,
        ),
    }


def code(text: str) -> str:
    """Return an id or code that keeps its order of letters in every script."""
    return isolated_text(text, left_to_right=True)

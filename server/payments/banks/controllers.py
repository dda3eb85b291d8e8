"""HTTP of banks: what they tell us, how users pay in, users' own bank accounts."""

from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Request, Router, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, HeaderParameter, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_204_NO_CONTENT

from server.identity import may
from server.kit.auth import OPEN_ROUTE, Caller
from server.kit.crypto import Vault
from server.kit.documentation import BODY_REFUSALS, refusals
from server.kit.errors import Forbidden, IdempotencyConflict, NotFound, Unauthenticated
from server.kit.idempotency import check_key, fingerprint, once
from server.kit.money import UnknownCurrency
from server.kit.unit_of_work import Tx, UnitOfWork
from server.payments.banks import accounts, errors, notices
from server.payments.banks.deposits import deposits_of
from server.payments.banks.instructions import deposit_instructions
from server.payments.banks.models import BankAccountRow
from server.payments.banks.references import show_reference
from server.payments.banks.schemas import (
    BankAccountCreate,
    BankAccountItem,
    DepositInstruction,
    DepositNotice,
    DepositView,
    NoticeTaken,
    PayoutNotice,
    ReversalNotice,
    VerificationTry,
)
from server.payments.banks.signatures import HEADER
from server.settings import Settings

NOTICE_BYTES_MAX = 65_536
IdempotencyKey = Annotated[str | None, HeaderParameter(name="Idempotency-Key", max_length=128)]
Signature = Annotated[str | None, HeaderParameter(name=HEADER, max_length=256)]
Currency = Annotated[
    str, QueryParameter(pattern="^[A-Z][A-Z0-9]{2,9}$", description="Such as EUR", min_length=3)
]


@post(
    "/webhooks/banks/{bank_id:uuid}",
    summary="A partner bank tells of a booking",
    opt={OPEN_ROUTE: True},
    security=[],
    status_code=HTTP_200_OK,
    request_max_body_size=NOTICE_BYTES_MAX,
    responses=refusals(
        *BODY_REFUSALS,
        errors.SignatureInvalid,
        errors.SignatureExpired,
        errors.BankSuspended,
        errors.DeliveryConflict,
        errors.TransactionConflict,
        errors.CurrencyNotAgreed,
        errors.TransactionUnknown,
    ),
)
async def take_notice(
    request: Request[Any, Any, Any],
    uow: NamedDependency[UnitOfWork],
    vault: NamedDependency[Vault],
    settings: NamedDependency[Settings],
    bank_id: FromPath[UUID],
    data: JSONBody[DepositNotice | ReversalNotice | PayoutNotice],
    signature: Signature = None,
) -> NoticeTaken:
    """Take a notice that the bank signed; send it again until the answer is 200.

    docs/banks.md shows how to sign.
    """
    outcome, replayed = await notices.receive_notice(
        uow,
        vault,
        tenant=settings.tenant,
        bank_id=bank_id,
        signature=signature,
        body=await request.body(),
        notice=data,
        window=timedelta(seconds=settings.bank_signature_window_s),
    )
    return msgspec.convert({"outcome": outcome, "replayed": replayed}, NoticeTaken)


@get(
    "/deposit-instructions",
    summary="Where to pay money in",
    responses=refusals(Unauthenticated, Forbidden, UnknownCurrency, errors.BankUnavailable),
)
async def show_instructions(
    uow: NamedDependency[UnitOfWork], caller: NamedDependency[Caller], currency: Currency
) -> list[DepositInstruction]:
    """Say for each bank which account to pay into, and your reference there.

    The reference names you: money that comes without it waits until somebody finds its owner.
    """
    found = await uow.run(
        lambda tx: deposit_instructions(tx, caller.tenant, caller.user_id, currency)
    )
    return [
        DepositInstruction(
            bank=each.bank.name,
            bic=each.bank.bic,
            holder=each.bank.holder,
            account=each.account,
            currency=each.currency,
            reference=each.reference,
            reference_shown=show_reference(each.reference),
        )
        for each in found
    ]


@get(
    "/deposits",
    summary="Your last deposits by bank transfer",
    responses=refusals(Unauthenticated, Forbidden),
)
async def list_deposits(
    uow: NamedDependency[UnitOfWork], caller: NamedDependency[Caller]
) -> list[DepositView]:
    """List the last hundred, the newest first."""
    rows = await uow.read(lambda tx: deposits_of(tx, caller.tenant, caller.user_id))
    return [msgspec.convert(row, DepositView, from_attributes=True) for row in rows]


@post(
    "/bank-accounts",
    summary="Add a bank account of your own",
    responses=refusals(
        *BODY_REFUSALS,
        Unauthenticated,
        Forbidden,
        IdempotencyConflict,
        UnknownCurrency,
        errors.BankAccountInvalid,
        errors.BankAccountExists,
        errors.TooManyBankAccounts,
        errors.BankUnavailable,
    ),
)
async def add_bank_account(
    uow: NamedDependency[UnitOfWork],
    vault: NamedDependency[Vault],
    caller: NamedDependency[Caller],
    data: JSONBody[BankAccountCreate],
    idempotency_key: IdempotencyKey = None,
) -> BankAccountItem:
    """Store the account and pay one unit of the currency to it, with a code in the reference.

    Enter the code to show that the account is yours; only then money can be paid out to it.
    """
    key = check_key(idempotency_key)

    async def command(tx: Tx) -> BankAccountItem:
        async def work() -> BankAccountItem:
            return _item(await accounts.add_account(tx, vault, caller, data.payee, data.currency))

        return await once(
            tx,
            tenant=caller.tenant,
            owner=caller.user_id,
            operation="bank_account",
            key=key,
            digest=fingerprint(data),
            answer_type=BankAccountItem,
            work=work,
        )

    return await uow.run(command)


@get(
    "/bank-accounts",
    summary="Your bank accounts",
    responses=refusals(Unauthenticated, Forbidden),
)
async def list_bank_accounts(
    uow: NamedDependency[UnitOfWork], caller: NamedDependency[Caller]
) -> list[BankAccountItem]:
    """List your bank accounts, their numbers masked."""
    return [_item(row) for row in await uow.read(lambda tx: accounts.own_accounts(tx, caller))]


@delete(
    "/bank-accounts/{account_id:uuid}",
    summary="Remove a bank account",
    status_code=HTTP_204_NO_CONTENT,
    responses=refusals(Unauthenticated, Forbidden, NotFound),
)
async def remove_bank_account(
    uow: NamedDependency[UnitOfWork], caller: NamedDependency[Caller], account_id: FromPath[UUID]
) -> None:
    """Take it off your list. A payment that is on its way to it is not stopped."""
    await uow.run(lambda tx: accounts.remove_account(tx, caller, account_id))


@post(
    "/bank-accounts/{account_id:uuid}/verification",
    summary="Send another verification payment",
    status_code=HTTP_200_OK,
    responses=refusals(
        Unauthenticated,
        Forbidden,
        NotFound,
        IdempotencyConflict,
        errors.VerificationOver,
        errors.TooManyBankAccounts,
        errors.BankUnavailable,
    ),
)
async def verify_again(
    uow: NamedDependency[UnitOfWork],
    vault: NamedDependency[Vault],
    caller: NamedDependency[Caller],
    account_id: FromPath[UUID],
    idempotency_key: IdempotencyKey = None,
) -> BankAccountItem:
    """Pay one unit once more, with another code; the code before is void."""
    key = check_key(idempotency_key)

    async def command(tx: Tx) -> BankAccountItem:
        async def work() -> BankAccountItem:
            return _item(await accounts.verify_anew(tx, vault, caller, account_id))

        return await once(
            tx,
            tenant=caller.tenant,
            owner=caller.user_id,
            operation="bank_account_verification",
            key=key,
            digest=fingerprint(account_id),
            answer_type=BankAccountItem,
            work=work,
        )

    return await uow.run(command)


@post(
    "/bank-accounts/{account_id:uuid}/verification/code",
    summary="Show that a bank account is yours",
    status_code=HTTP_200_OK,
    responses=refusals(
        *BODY_REFUSALS,
        Unauthenticated,
        Forbidden,
        NotFound,
        errors.VerificationOver,
        errors.VerificationCodeWrong,
    ),
)
async def try_code(
    uow: NamedDependency[UnitOfWork],
    vault: NamedDependency[Vault],
    caller: NamedDependency[Caller],
    account_id: FromPath[UUID],
    data: JSONBody[VerificationTry],
) -> BankAccountItem:
    """Enter the code that stands in the reference of the payment. There are a few tries."""
    answer = await uow.run(lambda tx: accounts.try_code(tx, vault, caller, account_id, data.code))
    # A wrong try was counted and committed before it is refused.
    if isinstance(answer, errors.VerificationCodeWrong):
        raise answer
    return _item(answer)


def _item(row: BankAccountRow) -> BankAccountItem:
    return msgspec.convert(row, BankAccountItem, from_attributes=True)


_OWN = Router(
    "/",
    route_handlers=[
        show_instructions,
        list_deposits,
        add_bank_account,
        list_bank_accounts,
        remove_bank_account,
        verify_again,
        try_code,
    ],
    guards=[may("own_money")],
)
BANK_ROUTES = [Router("/v1", route_handlers=[take_notice, _OWN], tags=["Banks"])]

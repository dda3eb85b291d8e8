"""Users' own bank accounts: added, verified by a payment of one unit, paid to, removed.

The verification payment carries a code in its reference that only who reads the account's
statement can know. A code is six digits, may be tried a few times and expires; a new payment can be
ordered a few times a day, since each costs the house money.
"""

import hmac
from collections.abc import Sequence
from datetime import timedelta
from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from server.kit.auth import Caller
from server.kit.crypto import Vault
from server.kit.errors import NotFound
from server.kit.money import asset
from server.kit.outbox import emit
from server.kit.unit_of_work import Tx
from server.ledger import AccountKind, AccountRef
from server.payments.banks.errors import (
    BankAccountExists,
    BankAccountUnverified,
    TooManyBankAccounts,
    VerificationCodeWrong,
    VerificationOver,
)
from server.payments.banks.events import BankAccountVerified
from server.payments.banks.models import BankAccountRow, BankOrderRow
from server.payments.banks.orders import BankOrder, Purpose, place_order, verification_id
from server.payments.banks.partners import bank_for
from server.payments.banks.payees import Payee, check_payee, open_payee, seal_payee
from server.payments.payouts import PayableAccount

ACCOUNTS_MAX: Final = 5
ATTEMPTS_MAX: Final = 5
VERIFICATIONS_A_DAY: Final = 5
VERIFY_WITHIN: Final = timedelta(days=10)
_CODE_DIGITS: Final = 6
BANK_RAIL: Final = "bank"
"""What the rail of all partner banks is called; stored with every withdrawal."""
UNVERIFIED, VERIFIED, REMOVED = "unverified", "verified", "removed"


async def add_account(
    tx: Tx, vault: Vault, caller: Caller, given: Payee, currency: str
) -> BankAccountRow:
    """Store an account of the caller and order the payment that verifies it.

    Raises:
        BankAccountInvalid: the number is none.
        BankAccountExists: the caller has it already.
        TooManyBankAccounts: the caller has `ACCOUNTS_MAX`, or ordered too many payments today.
        BankUnavailable: no bank of ours pays the currency.
        UnknownCurrency: this server does not count it.
    """
    asset(currency)
    checked = check_payee(given)
    index = vault.blind_index(checked.number, "bank-account")
    live = await own_accounts(tx, caller)
    if any(row.number_index == index and row.currency == currency for row in live):
        raise BankAccountExists("This account is on your list already.")
    free = sorted(set(range(ACCOUNTS_MAX)) - {row.slot for row in live})
    if not free:
        raise TooManyBankAccounts(
            f"You have {ACCOUNTS_MAX} bank accounts.", fix="Remove one that you no longer use."
        )
    id_ = tx.ids.uuid()
    sealed = seal_payee(tx, vault, checked.payee, _context(caller.tenant, id_))
    assert sealed is not None
    row = BankAccountRow(
        tenant=caller.tenant,
        id=id_,
        user_id=caller.user_id,
        slot=free[0],
        currency=currency,
        country=checked.country,
        bank_name=checked.bank_name,
        bic=checked.payee.bic,
        masked=checked.masked,
        number_sealed=sealed,
        number_index=index,
        state=UNVERIFIED,
        code_sealed=None,
        attempts=0,
        round=0,
        expires_at=None,
        created_at=tx.now,
        verified_at=None,
        removed_at=None,
    )
    tx.session.add(row)
    try:
        await tx.session.flush()
    except IntegrityError as error:
        raise BankAccountExists(
            "Another request added an account at the same time.", fix="Look at your list."
        ) from error
    await order_verification(tx, vault, row, checked.payee)
    return row


async def verify_anew(tx: Tx, vault: Vault, caller: Caller, account_id: UUID) -> BankAccountRow:
    """Order another verification payment with another code; the code before is void.

    Raises:
        NotFound: the caller has no such account.
        VerificationOver: it is verified.
        TooManyBankAccounts: too many payments were ordered today.
        BankUnavailable: no bank of ours pays the currency.
    """
    row = await _own(tx, caller, account_id)
    if row.state == VERIFIED:
        raise VerificationOver("This account is verified.")
    payee = open_payee(vault, row.number_sealed, _context(row.tenant, row.id))
    row.state = UNVERIFIED
    await order_verification(tx, vault, row, payee)
    return row


async def order_verification(tx: Tx, vault: Vault, row: BankAccountRow, payee: Payee) -> None:
    ordered = await tx.session.scalar(
        select(func.count())
        .select_from(BankOrderRow)
        .where(
            BankOrderRow.tenant == row.tenant,
            BankOrderRow.user_id == row.user_id,
            BankOrderRow.purpose == Purpose.VERIFICATION.value,
            BankOrderRow.created_at > tx.now - timedelta(days=1),
        )
    )
    if (ordered or 0) >= VERIFICATIONS_A_DAY:
        raise TooManyBankAccounts(
            f"At most {VERIFICATIONS_A_DAY} verification payments a day are made.",
            fix="Try again tomorrow.",
        )
    bank = await bank_for(tx, row.tenant, row.currency, row.country)
    code = f"{int.from_bytes(tx.ids.token(8), 'big') % 10**_CODE_DIGITS:0{_CODE_DIGITS}d}"
    row.round += 1
    row.code_sealed = vault.seal(code.encode(), _code_context(row), nonce=tx.ids.token(24))
    row.attempts, row.expires_at = ATTEMPTS_MAX, tx.now + VERIFY_WITHIN
    await tx.session.flush()
    order = BankOrder(
        tenant=row.tenant,
        id=verification_id(row.tenant, row.id, row.round),
        bank=bank.id,
        purpose=Purpose.VERIFICATION,
        subject=row.id,
        amount=10 ** asset(row.currency).scale,
        currency=row.currency,
        reference=f"TALLYSTICK CODE {code}",
        payee=payee,
        user_id=row.user_id,
    )
    await place_order(tx, vault, order)


async def try_code(
    tx: Tx, vault: Vault, caller: Caller, account_id: UUID, code: str
) -> VerificationCodeWrong | BankAccountRow:
    """Verify an account by the code of its payment; a wrong one is returned and has been counted.

    Raises:
        NotFound: the caller has no such account.
        VerificationOver: it expired, the bank refused the payment, or no try is left.
    """
    row = await _own(tx, caller, account_id)
    if row.state == VERIFIED:
        return row
    expired = row.expires_at is None or row.expires_at <= tx.now
    if row.code_sealed is None or expired or row.attempts <= 0:
        raise VerificationOver(
            "This verification has ended.",
            fix="Order a new payment with POST /v1/bank-accounts/{id}/verification.",
        )
    row.attempts -= 1
    right = vault.open(row.code_sealed, _code_context(row))
    if not hmac.compare_digest(right, code.encode()):
        await tx.session.flush()
        return VerificationCodeWrong(
            "The code is not the one in the payment's reference.",
            fix="Look at the statement of that account.",
            attempts_left=row.attempts,
        )
    row.state, row.verified_at, row.code_sealed = VERIFIED, tx.now, None
    await tx.session.flush()
    event = BankAccountVerified(account_id=row.id, user_id=row.user_id, currency=row.currency)
    await emit(tx, event, tenant=row.tenant)
    return row


async def own_accounts(tx: Tx, caller: Caller) -> Sequence[BankAccountRow]:
    """Return the caller's accounts, the oldest first."""
    rows = await tx.session.scalars(
        select(BankAccountRow)
        .where(
            BankAccountRow.tenant == caller.tenant,
            BankAccountRow.user_id == caller.user_id,
            BankAccountRow.slot.is_not(None),
        )
        .order_by(BankAccountRow.created_at, BankAccountRow.id)
    )
    return list(rows)


async def remove_account(tx: Tx, caller: Caller, account_id: UUID) -> None:
    """Take an account off the caller's list; payments on their way to it are not stopped.

    Raises:
        NotFound: the caller has no such account.
    """
    row = await _own(tx, caller, account_id)
    row.state, row.slot, row.number_index, row.code_sealed = REMOVED, None, None, None
    row.removed_at = tx.now
    await tx.session.flush()


async def payable_account(
    tx: Tx, tenant: int, user_id: UUID, bank_account_id: UUID
) -> PayableAccount:
    """Return a verified account of a user, through the bank of ours that would pay to it now.

    Raises:
        NotFound: the user has no such account.
        BankAccountUnverified: nobody has shown yet that it is theirs.
        BankUnavailable: no bank of ours pays its currency.
    """
    row = await tx.session.get(BankAccountRow, (tenant, bank_account_id))
    if row is None or row.user_id != user_id or row.slot is None:
        raise NotFound("You have no bank account with this id.")
    if row.state != VERIFIED:
        raise BankAccountUnverified(
            "This bank account is not verified yet.",
            fix="Enter the code of the payment of one unit that it received.",
        )
    bank = await bank_for(tx, tenant, row.currency, row.country)
    return PayableAccount(
        currency=row.currency,
        label=row.masked,
        rail=BANK_RAIL,
        destination=f"{row.id}/{bank.id}",
        source=AccountRef(AccountKind.BANK_MONEY, row.currency, bank.id, tenant),
    )


class KnownAccount(NamedTuple):
    user_id: UUID
    currency: str
    payee: Payee


async def known_account(tx: Tx, vault: Vault, tenant: int, account_id: UUID) -> KnownAccount:
    """Return whose account it is and its number, also of one that was removed since.

    Raises:
        NotFound: there is none.
    """
    row = await tx.session.get(BankAccountRow, (tenant, account_id))
    if row is None:
        raise NotFound("There is no such bank account.")
    payee = open_payee(vault, row.number_sealed, _context(tenant, account_id))
    return KnownAccount(row.user_id, row.currency, payee)


async def _own(tx: Tx, caller: Caller, account_id: UUID) -> BankAccountRow:
    row = await tx.session.get(
        BankAccountRow, (caller.tenant, account_id), with_for_update=True, populate_existing=True
    )
    if row is None or row.user_id != caller.user_id or row.slot is None:
        raise NotFound("You have no bank account with this id.")
    return row


def _context(tenant: int, account: UUID) -> str:
    return f"bank-account/{tenant}/{account}"


def _code_context(row: BankAccountRow) -> str:
    return f"bank-account-code/{row.tenant}/{row.id}/{row.round}"

"""Refusals of the banks slice, each with a stable code."""

from server.kit.errors import Conflict, Forbidden, TallyError


class SignatureInvalid(TallyError):
    """No secret of this bank made the signature, or there is no such bank: both look alike."""

    code, status, title = "signature_invalid", 401, "The signature is not good"


class SignatureExpired(TallyError):
    """The signature is good and its time is too far from ours, on either side."""

    code, status, title = "signature_expired", 401, "The signature is too old, or not yet good"


class BankSuspended(Forbidden):
    code, title = "bank_suspended", "Nothing is taken from this bank at present"


class CurrencyNotAgreed(TallyError):
    code, title = "currency_not_agreed", "The bank does not hold this currency for us"


class DeliveryConflict(Conflict):
    """One delivery id came with two different bodies."""

    code, title = "delivery_conflict", "The delivery id was used for another notice"


class TransactionConflict(Conflict):
    """One transaction id came with different facts; nothing was booked for the later one."""

    code, title = "transaction_conflict", "The transaction was announced before, differently"


class TransactionUnknown(TallyError):
    code, title = "transaction_unknown", "The notice is about something we do not know"


class BankExists(Conflict):
    code, title = "bank_exists", "A bank with this name exists"


class RotationUnderWay(Conflict):
    code, title = "rotation_under_way", "The secret is being changed already"


class BankUnavailable(TallyError):
    """No partner bank is active for the currency."""

    code, title = "bank_unavailable", "No bank serves this currency at present"


class BankAccountInvalid(TallyError):
    code, title = "bank_account_invalid", "This is not a bank account number"


class BankAccountExists(Conflict):
    code, title = "bank_account_exists", "You have added this bank account already"


class TooManyBankAccounts(TallyError):
    code, title = "too_many_bank_accounts", "There is no room for another bank account"


class BankAccountUnverified(TallyError):
    code, title = "bank_account_unverified", "The bank account is not verified yet"


class VerificationOver(TallyError):
    """Expired, used up by wrong codes, refused by the bank, or already verified."""

    code, title = "verification_over", "This verification has ended"


class VerificationCodeWrong(TallyError):
    code, title = "verification_code_wrong", "The code is not the one in the payment's reference"


class DepositDecided(Conflict):
    code, title = "deposit_decided", "This money has been dealt with already"


class PayerUnknown(TallyError):
    code, title = "payer_unknown", "The bank did not say where the money came from"


class StatementInvalid(TallyError):
    code, title = "statement_invalid", "The statement cannot be read"

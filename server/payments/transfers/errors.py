"""Refusals of transfers, each with a stable code."""

from server.kit.errors import Conflict, TallyError


class RecipientUnknown(TallyError):
    """Nobody who can receive money is meant by what was given."""

    code, title = "recipient_unknown", "The recipient is not known"


class SelfTransfer(TallyError):
    code, title = "self_transfer", "Payer and payee are the same person"


class NoteInvalid(TallyError):
    code, title = "note_invalid", "The note cannot be used"


class TooManyPending(TallyError):
    """As many transfers as allowed already wait for people to register."""

    code, title = "too_many_pending", "Too many transfers wait for their recipients"


class PayCodeInvalid(TallyError):
    """The text of a QR code is damaged, or not of this service."""

    code, title = "pay_code_invalid", "The code to pay is not good"


class TransferDecided(Conflict):
    """The transfer does not wait for anybody, or no longer."""

    code, title = "transfer_decided", "The transfer can no longer be changed"


class RefundRefused(TallyError):
    """More than was received, or of something that cannot be refunded."""

    code, title = "refund_refused", "The refund is not possible"


class TooManyRequested(TallyError):
    """As many requests for money as allowed are open already."""

    code, title = "too_many_requested", "Too many requests for money are open"


class RequestClosed(Conflict):
    """The request was paid, declined, cancelled, or its time is over."""

    code, title = "request_closed", "The request for money is closed"


class RequestAmount(TallyError):
    """The amount to pay is missing, or is another than the request says."""

    code, title = "request_amount", "The amount does not fit the request"


class ScheduleInvalid(TallyError):
    code, title = "schedule_invalid", "Nothing would ever be paid this way"


class ScheduleClosed(Conflict):
    code, title = "schedule_closed", "The schedule cannot be changed this way"

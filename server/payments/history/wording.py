"""What a movement is called, by the kind of its entry. The English words name the translations."""

from typing import Final

from server.kit.i18n import Words, phrase

TITLES: Final = {
    "fx": phrase("Currency exchange"),
    "fx.charge": phrase("Exchange fee"),
    "offline": phrase("Offline money"),
    "offline.collateral_back": phrase("Collateral for offline money"),
    "offline.collateral_set": phrase("Collateral for offline money"),
    "offline.issue": phrase("Moved to offline money"),
    "offline.provisional": phrase("Offline payment credited in advance"),
    "payments": phrase("Payment"),
    "payments.card_debt": phrase("Card debt"),
    "payments.deposit": phrase("Bank deposit"),
    "payments.dispute": phrase("Card dispute"),
    "payments.emergency_lock": phrase("Locked as emergency balance"),
    "payments.emergency_unlock": phrase("Unlocked from emergency balance"),
    "payments.refund": phrase("Refund of a top-up"),
    "payments.return": phrase("Returned bank deposit"),
    "payments.top_up": phrase("Card top-up"),
    "payments.transfer": phrase("Transfer"),
    "payments.transfer_cancelled": phrase("Returned transfer"),
    "payments.transfer_claimed": phrase("Transfer"),
    "payments.transfer_pending": phrase("Transfer"),
    "payments.transfer_refund": phrase("Refund of a transfer"),
    "payments.transfer_returned": phrase("Returned transfer"),
    "payouts": phrase("Withdrawal to a bank account"),
    "payouts.fee_capture": phrase("Withdrawal fee"),
    "payouts.return": phrase("Returned withdrawal"),
}
"""By kind, or by the beginning of a kind up to a dot."""
_OTHER: Final = phrase("Other movement")


def english_title(kind: str) -> str:
    """Return the words of the longest beginning of a kind that has some."""
    while kind:
        if kind in TITLES:
            return TITLES[kind]
        kind = kind.rpartition(".")[0]
    return _OTHER


def title(kind: str, words: Words) -> str:
    return words.say(english_title(kind))

"""The emergency balance: money that a user locked away from ordinary payments."""

from server.payments.emergency.locking import lock_money, unlock_money

__all__ = ["lock_money", "unlock_money"]

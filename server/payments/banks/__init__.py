"""Partner banks: money in by transfer, users' own bank accounts, payments out, statements."""

from server.payments.banks.accounts import BANK_RAIL, payable_account
from server.payments.banks.bank_api import BankApi
from server.payments.banks.carrying import Carrier
from server.payments.banks.rails import BankRail

__all__ = ["BANK_RAIL", "BankApi", "BankRail", "Carrier", "payable_account"]

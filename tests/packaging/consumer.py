"""What a program outside the project writes against the SDK; `assert_type` pins the types.

Type-checked against the installed wheel, and never run.
"""

from collections.abc import AsyncIterator
from typing import assert_type

from client_sdk import BlockingWallet, KeyProvider, SoftwareKeys, Wallet, WalletError
from client_sdk.core import State
from client_sdk.flows.paying import RequestView
from client_sdk.flows.syncing import SyncReport
from client_sdk.keys import AsksPerson, Attestation, AttestsKeys, DeletesKeys, Spending
from client_sdk.keys.errors import KeyGone, PersonRefused, TokenMissing, WrongPin
from client_sdk.keys.pkcs11 import TokenKeys
from client_sdk.testing import Fault, Issuer, RoughLink, SetClock, new_wallet, rough_pair
from client_sdk.transports.base import Link
from client_sdk.views import Balance, ExchangeView, Incoming, RequestShown
from offline_protocol.algorithms import Algorithm
from offline_protocol.keys import PublicKey, Signer


class OwnKeys:
    """A provider with everything that one can have."""

    def wrap(self, file_key: bytes) -> bytes:
        return file_key

    def unwrap(self, wrapped: bytes) -> bytes:
        return wrapped

    def make_device_key(self) -> bytes:
        return b""

    def signer(self, handle: bytes) -> Signer:
        return SoftwareKeys("").signer(handle)

    def delete_device_key(self, handle: bytes) -> None: ...

    def presence(self, spending: Spending) -> None:
        if spending.amount > 100:
            raise PersonRefused(spending.payee_name)

    def attestation(self, handle: bytes, challenge: bytes) -> Attestation:
        return Attestation(form="own", statement=handle + challenge)


def providers() -> list[KeyProvider]:
    own = OwnKeys()
    able: tuple[AsksPerson, AttestsKeys, DeletesKeys] = (own, own, own)
    assert len(able) == 3
    token = TokenKeys("m.so", token="wallet", pin=lambda: "1234", algorithm=Algorithm.ESP256)
    return [own, token, SoftwareKeys("passphrase")]


async def pay(wallet: Wallet, code: str, link: Link) -> ExchangeView:
    seen = await wallet.inspect(code)
    assert_type(seen, RequestView)
    paid = await wallet.pay(code, amount=seen.amount, link=link)
    assert_type(paid, ExchangeView)
    assert_type(paid.state, State)
    assert_type(await wallet.balance(), list[Balance])
    assert_type(await wallet.sync(), SyncReport)
    return paid


def sell(wallet: BlockingWallet) -> bytes | None:
    asked = wallet.request_payment(2500, "EUR", memo="bread")
    assert_type(asked, RequestShown)
    got = wallet.receive(asked.frame)
    assert_type(got, Incoming)
    assert_type(wallet.history(limit=3), list[ExchangeView])
    return got.frame


async def rehearse() -> AsyncIterator[Wallet]:
    clock = SetClock()
    one, two = rough_pair([Fault.LOSE], [])
    assert_type(one, RoughLink)
    link: Link = two
    wallet = await new_wallet(Issuer(), "shopper", 6000, clock=clock)
    assert_type(wallet.key_id, bytes)
    assert_type(PublicKey(bytes(32)).algorithm, Algorithm)
    try:
        await pay(wallet, "TALLY1:...", link)
    except (KeyGone, TokenMissing, WrongPin) as error:
        assert_type(error.retryable, bool)
    except WalletError as error:
        assert_type(error.code, str)
        assert_type(error.fix, str | None)
    yield wallet

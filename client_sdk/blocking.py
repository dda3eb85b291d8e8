"""`BlockingWallet`: the same wallet for programs without an event loop.

Names, arguments, results and errors are those of `Wallet`. Use it from one thread.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar

from client_sdk.ambient import Clock, Entropy, system_entropy
from client_sdk.keys import KeyProvider
from client_sdk.store.sqlite import Hook
from client_sdk.wallet import Wallet

if TYPE_CHECKING:
    import httpx

P = ParamSpec("P")
T = TypeVar("T")


def _blocking(
    method: Callable[Concatenate[Wallet, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate["BlockingWallet", P], T]:
    @wraps(method)
    def call(self: "BlockingWallet", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.run(method(self.wallet, *args, **kwargs))

    return call


class BlockingWallet:
    """An open wallet; make one with `create` or `open` and close it when done.

    Attributes:
        wallet: the asynchronous wallet underneath, for what needs a link or a listener; give its
            coroutines to `run`.
    """

    def __init__(self, wallet: Wallet, runner: asyncio.Runner) -> None:
        self.wallet = wallet
        self._runner = runner

    @classmethod
    def create(
        cls,
        path: Path | str | None,
        *,
        passphrase: str | None = None,
        keys: KeyProvider | None = None,
        clock: Clock | None = None,
        entropy: Entropy = system_entropy,
        hook: Hook | None = None,
        http: "httpx.AsyncBaseTransport | None" = None,
        state_folder: Path | None = None,
    ) -> Self:
        """See `Wallet.create`."""
        return cls._started(
            Wallet.create(
                path,
                passphrase=passphrase,
                keys=keys,
                clock=clock,
                entropy=entropy,
                hook=hook,
                http=http,
                state_folder=state_folder,
            )
        )

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        passphrase: str | None = None,
        keys: KeyProvider | None = None,
        clock: Clock | None = None,
        entropy: Entropy = system_entropy,
        hook: Hook | None = None,
        http: "httpx.AsyncBaseTransport | None" = None,
        state_folder: Path | None = None,
    ) -> Self:
        """See `Wallet.open`."""
        return cls._started(
            Wallet.open(
                path,
                passphrase=passphrase,
                keys=keys,
                clock=clock,
                entropy=entropy,
                hook=hook,
                http=http,
                state_folder=state_folder,
            )
        )

    @classmethod
    def _started(cls, opening: Coroutine[Any, Any, Wallet]) -> Self:
        runner = asyncio.Runner()
        try:
            return cls(runner.run(opening), runner)
        except BaseException:
            runner.close()
            raise

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine of the wallet to its end."""
        return self._runner.run(work)

    def close(self) -> None:
        self.run(self.wallet.close())
        self._runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def scale(self, currency: str) -> int:
        """See `Wallet.scale`."""
        return self.wallet.scale(currency)

    @property
    def key_id(self) -> bytes:
        """Id of this device's key."""
        return self.wallet.key_id

    def decided_by(self, exchange_id: bytes) -> int | None:
        """See `Wallet.decided_by`."""
        return self.wallet.decided_by(exchange_id)

    @property
    def shares_tags(self) -> bool:
        """See `Wallet.shares_tags`."""
        return self.wallet.shares_tags

    @property
    def restored(self) -> bool:
        """See `Wallet.restored`."""
        return self.wallet.restored

    request_payment = _blocking(Wallet.request_payment)
    request_frame = _blocking(Wallet.request_frame)
    receive = _blocking(Wallet.receive)
    accept_receipt = _blocking(Wallet.accept_receipt)
    return_payment = _blocking(Wallet.return_payment)
    serve = _blocking(Wallet.serve)
    listen = _blocking(Wallet.listen)
    inspect = _blocking(Wallet.inspect)
    peek = _blocking(Wallet.peek)
    approach = _blocking(Wallet.approach)
    pay = _blocking(Wallet.pay)
    frame_of = _blocking(Wallet.frame_of)
    resend = _blocking(Wallet.resend)
    deliver = _blocking(Wallet.deliver)
    unconfirmed = _blocking(Wallet.unconfirmed)
    balance = _blocking(Wallet.balance)
    history = _blocking(Wallet.history)
    exchange = _blocking(Wallet.exchange)
    profile = _blocking(Wallet.profile)
    trust = _blocking(Wallet.trust)
    acceptance_rules = _blocking(Wallet.acceptance_rules)
    add_rule = _blocking(Wallet.add_rule)
    remove_rule = _blocking(Wallet.remove_rule)
    set_share_tags = _blocking(Wallet.set_share_tags)
    signed_transfers = _blocking(Wallet.signed_transfers)
    fraud_proofs = _blocking(Wallet.fraud_proofs)
    enrol = _blocking(Wallet.enrol)
    top_up = _blocking(Wallet.top_up)
    load = _blocking(Wallet.load)
    unload = _blocking(Wallet.unload)
    sync = _blocking(Wallet.sync)
    account = _blocking(Wallet.account)
    set_claim_policy = _blocking(Wallet.set_claim_policy)

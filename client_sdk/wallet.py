"""`Wallet`: one person's money on one device.

Everything offline works without the server and touches no network: asking, paying, receiving,
returning, reading the balance and the history. `enrol`, `top_up`, `load`, `unload`, `sync` and
`account` go online.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from client_sdk.errors import NotEnrolled
from client_sdk.flows.claiming import Claimer, ClaimPolicy
from client_sdk.flows.online import Load, Online, OnlineBalance, Profile, TopUp
from client_sdk.flows.recovery import recover
from client_sdk.flows.syncing import Syncer, SyncReport
from client_sdk.money import parse_currency
from client_sdk.offline_wallet import OfflineWallet
from client_sdk.records import Exchange

if TYPE_CHECKING:
    from client_sdk.api.client import ApiClient


class Wallet(OfflineWallet):
    """An open wallet; make one with `create` or `open` and close it when done."""

    async def enrol(
        self,
        *,
        server: str,
        username: str,
        password: str,
        device_name: str = "wallet",
        root_key: bytes | None = None,
    ) -> Profile:
        """Sign in, bind this device's key to the account, and fetch what working offline needs.

        A wallet whose file was put back from an old copy gets a new key first. What the old key
        held is credited to the account after the vouchers' claim-by time.

        Args:
            server: address of the server, such as "https://pay.example".
            username: username, phone number or e-mail address.
            password: the account's.
            device_name: shown in the account's list of devices.
            root_key: id of the issuer's root key, when it is known from elsewhere; otherwise the
                first one seen is pinned.

        Raises:
            ServerRefused: wrong password, or the device may not be enrolled.
            ServerUnavailable: no answer; enrol again later.
            IssuerRefused: the root key is another than pinned or given.
        """
        async with self._online_work:
            if self.restored:
                self.book.renew_key()
            api = self._connect_to(server)
            try:
                profile = await Online(self.book, api).enrol(
                    server=server,
                    username=username,
                    password=password,
                    device_name=device_name,
                    root_key=root_key,
                )
            except BaseException:
                await api.close()
                raise
            if self._api is not None:
                await self._api.close()
            self._api = api
            await Syncer(self.book, self._engine, self._payer, api).run()
            return profile

    async def top_up(self, amount: int, currency: str, card: str) -> TopUp:
        """Charge a card and credit the account online, in minor units."""
        async with self._online_work:
            return await Online(self.book, self._server()).top_up(
                amount, parse_currency(currency), card
            )

    async def load(self, amount: int, currency: str) -> Load:
        """Move value from the account onto this device, in minor units.

        Raises:
            ServerRefused: not enough on the account, or over a limit.
            ServerUnavailable: no answer; the same call, or a sync, finishes it.
        """
        async with self._online_work:
            return await Online(self.book, self._server()).load(amount, parse_currency(currency))

    async def unload(self, currency: str, amount: int | None = None) -> SyncReport:
        """Move value from this device back to the account: sync, and claim it.

        Raises:
            InsufficientFunds: less than the amount is held.
            ServerUnavailable: as for `sync`; what was not claimed yet stays spendable.
        """
        code = parse_currency(currency)
        return await self._sync(lambda claimer: claimer.claim(code, amount))

    async def sync(self) -> SyncReport:
        """Finish interrupted calls, hand everything in, learn what happened, claim by policy.

        Raises:
            NotEnrolled: this wallet has no server yet.
            ServerUnavailable: interrupted; the next sync goes on where this one stopped.
        """
        return await self._sync(lambda _: [])

    async def _sync(self, claim: Callable[[Claimer], list[Exchange]]) -> SyncReport:
        """Sync; claims come only after the server was reached: without it they would be locked."""
        async with self._online_work:
            recover(self.book, self._engine, self._payee)  # what a full disk stopped
            api, claimer = self._server(), Claimer(self.book, self._engine)
            await Online(self.book, api).finish_pending()
            syncer = Syncer(self.book, self._engine, self._payer, api)
            report = await syncer.run()
            if [*claim(claimer), *claimer.claim_by_policy()]:
                report = await syncer.run(report)
            return report

    async def account(self) -> list[OnlineBalance]:
        """The account's balances on the server."""
        return await Online(self.book, self._server()).balances()

    async def set_claim_policy(self, policy: ClaimPolicy) -> None:
        """Choose what a sync claims: all that was received, only what expired, or nothing."""
        Claimer(self.book, self._engine).set_policy(policy)

    def _server(self) -> "ApiClient":
        if self._api is None:
            address = self.book.text(b"server")
            if address is None:
                raise NotEnrolled("This wallet is not enrolled at a server.")
            self._api = self._connect_to(address)
        return self._api

    def _connect_to(self, address: str) -> "ApiClient":
        from client_sdk.api.client import ApiClient  # noqa: PLC0415 -- see the top

        return ApiClient(
            address,
            signer=self.book.signer,
            memory=self.book,
            clock=self.book.clock,
            entropy=self.book.entropy,
            transport=self._http,
            sleep=self._sleep,
        )

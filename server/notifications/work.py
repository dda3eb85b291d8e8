"""Work with events that waits for others: brokers and customers' servers.

It runs beside the rounds of the background work, which it must not hold up.
"""

import asyncio
from contextlib import suppress

from server.kit.brokers import BrokerUnsupported, publisher_of
from server.kit.crypto import Vault
from server.kit.ids import Ids
from server.kit.relay import Relay
from server.kit.telemetry import get_logger
from server.kit.unit_of_work import UnitOfWork
from server.notifications.destinations import Courier
from server.notifications.sending import send_webhooks
from server.settings import Settings, SettingsError

_log = get_logger(__name__)


class EventWork:
    """Tells events to the broker and to customers, until it is stopped."""

    def __init__(
        self,
        uow: UnitOfWork,
        *,
        settings: Settings,
        vault: Vault,
        ids: Ids,
        courier: Courier | None = None,
    ) -> None:
        """Prepare it; nothing is connected before `run`.

        Raises:
            SettingsError: the broker's packages are not installed.
        """
        self._uow = uow
        self._vault = vault
        self._tenant = settings.tenant
        self._pause_s = settings.background_interval_ms / 1000
        self._stopping = asyncio.Event()
        self._courier = courier
        self._private = settings.webhook_private
        url = settings.resolved_broker_url
        try:
            opener = publisher_of(url) if url else None
        except BrokerUnsupported as error:
            raise SettingsError(f"TALLYSTICK_BROKER_URL: {error}") from error
        self._relay = Relay(
            uow, opener, tenant=settings.tenant, holder=ids.uuid(), pause_s=self._pause_s
        )

    async def run(self) -> None:
        """Work until `stop` is called."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._relay.run())
            group.create_task(self._send())

    def stop(self) -> None:
        self._stopping.set()
        self._relay.stop()

    async def _send(self) -> None:
        courier = self._courier or Courier(private=self._private)
        while not self._stopping.is_set():
            tried = 0
            try:
                tried = await send_webhooks(self._uow, courier, self._vault, tenant=self._tenant)
            except Exception as error:  # noqa: BLE001 - it is tried again
                _log.error("background_job_failed", job="send_webhooks", exc_info=error)
            if not tried:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), self._pause_s)
        await courier.close()

"""Settings: read once from the environment, frozen, documented.

``tallystick settings`` prints this table; ``docs/reference/settings.md`` is made from it.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, get_type_hints

from phonenumbers import SUPPORTED_REGIONS
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from server.kit.brokers import is_broker
from server.kit.crypto import MASTER_KEY_BYTES

PREFIX = "TALLYSTICK_"
_DATABASES = ("sqlite+aiosqlite", "postgresql+asyncpg")
_RANGES: Mapping[str, range] = {
    "pending_transfer_days": range(1, 366),
    "database_pool_size": range(1, 1001),
    "port": range(65_536),
    "tenant": range(1, 2**31),
    "background_interval_ms": range(10, 3_600_001),
    "events_keep_days": range(1, 36_501),
    "bank_signature_window_s": range(1, 3601),
    "fx_rate_age_max_days": range(1, 366),
    "day_closes_after_s": range(864_001),
}


class SettingsError(Exception):
    """The environment does not make sense; the text names the variable and the way out."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be chosen from outside. Each annotation is the text of the table."""

    data_dir: Annotated[Path, "Folder for the database, keys and the message spool."] = Path("var")
    database_url: Annotated[
        str,
        "SQLAlchemy address of the database: sqlite+aiosqlite:///... or postgresql+asyncpg://... "
        "Empty means a SQLite file in the data folder.",
    ] = ""
    database_pool_size: Annotated[int, "Connections to the database."] = 10
    migrate_at_start: Annotated[bool, "Bring the database schema up to date when serving."] = True
    host: Annotated[str, "Address to listen on."] = "127.0.0.1"
    port: Annotated[int, "Port to listen on; 0 lets the system choose."] = 8787
    public_url: Annotated[
        str, "Address under which clients reach the server. Empty means that of the request."
    ] = ""
    master_key: Annotated[
        bytes,
        "32 bytes as base64 that seal secrets at rest. Empty means a key file in the data folder, "
        "made at the first start.",
    ] = b""
    tenant: Annotated[int, "The tenant that this process serves."] = 1
    log_level: Annotated[str, "debug, info, warning or error."] = "info"
    background_interval_ms: Annotated[
        int, "Pause between rounds of background work (messages, sealing, claim-by)."
    ] = 500
    card_gateway: Annotated[
        str,
        "Where card payments go. 'sandbox' is built in and moves no real money; 'stripe' needs the "
        "settings below.",
    ] = "sandbox"
    stripe_key: Annotated[str, "Secret or restricted API key of the Stripe account."] = field(
        default="", repr=False
    )
    stripe_webhook_secrets: Annotated[
        str,
        "Signing secrets of the webhook endpoint, separated by commas: two while one takes the "
        "other's place. Empty means that no webhook is believed; events are then read every five "
        "minutes.",
    ] = field(default="", repr=False)
    stripe_methods: Annotated[
        str,
        "Kinds of payment to offer, separated by commas, such as 'card'. Empty means those that "
        "are chosen at Stripe.",
    ] = ""
    stripe_url: Annotated[
        str, "Address of the Stripe interface, for tests. Empty means the real one."
    ] = ""
    workflow_executor: Annotated[
        str,
        "Name of this process among those that carry out workflows: its own, and the same after a "
        "restart. Empty means host and port.",
    ] = ""
    issuer_name: Annotated[str, "Who issues the money: the name on papers."] = "Tallystick"
    font_dir: Annotated[
        str, "Folder with further fonts for papers, for scripts that the built-in ones lack."
    ] = ""
    phone_region: Annotated[str, "Region for phone numbers without a country code."] = "TR"
    pending_transfer_days: Annotated[
        int, "Days that money waits for somebody to register before it goes back."
    ] = 14
    day_closes_after_s: Annotated[
        int,
        "Seconds after midnight UTC at which the books of the day before are closed. What is "
        "learnt later takes effect on the open day.",
    ] = 10_800
    publish_liabilities: Annotated[
        bool, "Publish what all users have, with proofs for each of them, after each closed day."
    ] = False
    redis_url: Annotated[
        str,
        "redis://... or rediss://... for what processes share: shown balances, and events where no "
        "broker is set. Empty means that each process keeps its own.",
    ] = ""
    broker_url: Annotated[
        str,
        "Where events are told: redis://, rediss:// (Streams), nats://, tls:// (JetStream), "
        "amqp://, amqps:// (RabbitMQ) or kafka://HOST:PORT,... Empty means Redis if it is set, "
        "else nowhere outside. Needs the extra 'broker'.",
    ] = ""
    events_keep_days: Annotated[int, "Days that events stay in the log, to be told again."] = 90
    webhook_private: Annotated[
        bool, "Whether webhooks may go to http:// and to private addresses. For tests only."
    ] = False
    bank_signature_window_s: Annotated[
        int, "Seconds that the time of a bank's signature may be away from ours, to either side."
    ] = 300
    suspense_four_eyes: Annotated[
        bool, "Whether two officers must agree on what becomes of money without a known owner."
    ] = False
    fx_rates_source: Annotated[
        str,
        "Daily reference rates in the ECB's XML form: a path, or an http(s) address that is asked "
        "in the background. Empty means that officers set all rates.",
    ] = ""
    fx_rate_age_max_days: Annotated[
        int, "Working days, Monday to Friday, after which nothing is exchanged by a rate."
    ] = 3

    @property
    def resolved_database_url(self) -> str:
        """The database's address: the one that was set, or a file in the data folder."""
        return self.database_url or f"sqlite+aiosqlite:///{self.data_dir / 'tallystick.sqlite'}"

    @property
    def webhook_secrets(self) -> list[str]:
        """The signing secrets that are in force."""
        return _words(self.stripe_webhook_secrets)

    @property
    def payment_methods(self) -> list[str]:
        return _words(self.stripe_methods)

    @property
    def resolved_broker_url(self) -> str:
        """The broker's address, or nothing."""
        return self.broker_url or self.redis_url

    @property
    def keys_dir(self) -> Path:
        return self.data_dir / "keys"

    @property
    def spool_dir(self) -> Path:
        return self.data_dir / "spool"


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Return the settings of an environment.

    Raises:
        SettingsError: a variable is unknown, or its value does not fit.
    """
    known = {PREFIX + item.name.upper(): item for item in fields(Settings)}
    client_side = {"TALLYSTICK_WALLET", "TALLYSTICK_PASSPHRASE", "TALLYSTICK_PASSWORD"}
    unknown = sorted(
        name
        for name in environ
        if name.startswith(PREFIX) and name not in known and name not in client_side
    )
    if unknown:
        raise SettingsError(f"Unknown setting {unknown[0]}. `tallystick settings` lists them all.")
    values = {
        item.name: _parse(name, environ[name], item.default)
        for name, item in known.items()
        if environ.get(name)
    }
    settings = Settings(**values)  # type: ignore[arg-type]
    _check(settings)
    return settings


def settings_table() -> list[tuple[str, str, str]]:
    """Return (variable, default, meaning) for each setting."""
    hints = get_type_hints(Settings, include_extras=True)
    return [
        (
            PREFIX + item.name.upper(),
            "" if item.default in {b"", ""} else str(item.default),
            hints[item.name].__metadata__[0],
        )
        for item in fields(Settings)
    ]


def _check(settings: Settings) -> None:
    """Refuse values of the right kind that nothing could be done with."""
    for name, allowed in _RANGES.items():
        if getattr(settings, name) not in allowed:
            raise SettingsError(
                f"{PREFIX}{name.upper()} must be from {allowed[0]} to {allowed[-1]}."
            )
    if settings.log_level not in {"debug", "info", "warning", "error"}:
        raise SettingsError("TALLYSTICK_LOG_LEVEL must be debug, info, warning or error.")
    if settings.database_url and not _is_database(settings.database_url):
        raise SettingsError(
            "TALLYSTICK_DATABASE_URL must be sqlite+aiosqlite:///FILE or "
            "postgresql+asyncpg://USER@HOST/NAME."
        )
    if settings.public_url and not re.fullmatch(
        r"https?://[^\s/?#@]+(/[^\s?#]*)?", settings.public_url
    ):
        raise SettingsError("TALLYSTICK_PUBLIC_URL must be http:// or https:// and a host.")
    _check_brokers(settings)
    if settings.phone_region not in SUPPORTED_REGIONS:
        raise SettingsError("TALLYSTICK_PHONE_REGION must be a country, such as TR.")
    if settings.card_gateway not in {"sandbox", "stripe"}:
        raise SettingsError("TALLYSTICK_CARD_GATEWAY must be 'sandbox' or 'stripe'.")
    if settings.card_gateway == "stripe" and not settings.stripe_key:
        raise SettingsError("TALLYSTICK_CARD_GATEWAY=stripe needs TALLYSTICK_STRIPE_KEY.")
    if settings.stripe_url and not re.fullmatch(
        r"https://[^\s/?#@]+|http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?", settings.stripe_url
    ):
        raise SettingsError(
            "TALLYSTICK_STRIPE_URL must be https:// and a host, or http:// on this machine."
        )


def _check_brokers(settings: Settings) -> None:
    if settings.redis_url and not re.match(r"rediss?://[^\s/]", settings.redis_url):
        raise SettingsError("TALLYSTICK_REDIS_URL must be redis:// or rediss:// and a host.")
    if settings.broker_url and not is_broker(settings.broker_url):
        raise SettingsError(
            "TALLYSTICK_BROKER_URL must be redis://, rediss://, nats://, tls://, amqp://, amqps:// "
            "or kafka://, and a host."
        )


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _is_database(address: str) -> bool:
    try:
        return make_url(address).drivername in _DATABASES
    except (ArgumentError, ValueError):
        return False


def _parse(name: str, text: str, default: object) -> object:
    kind = type(default)
    if isinstance(default, Path):
        return Path(text)
    if kind is bool:
        if text.lower() not in {"true", "false"}:
            raise SettingsError(f"{name} must be true or false, not {text!r}.")
        return text.lower() == "true"
    if kind is int:
        try:
            return int(text)
        except ValueError:
            raise SettingsError(f"{name} must be a whole number, not {text!r}.") from None
    if kind is bytes:
        return _parse_key(name, text)
    return text


def _parse_key(name: str, text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != MASTER_KEY_BYTES:
        raise SettingsError(f"{name} must be {MASTER_KEY_BYTES} bytes as base64.")
    return key

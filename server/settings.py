"""Settings: read once from the environment, frozen, documented.

``tallystick settings`` prints this table; ``docs/reference/settings.md`` is made from it.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, get_type_hints

from phonenumbers import SUPPORTED_REGIONS
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from server.kit.crypto import MASTER_KEY_BYTES

PREFIX = "TALLYSTICK_"
_DATABASES = ("sqlite+aiosqlite", "postgresql+asyncpg")
_RANGES: Mapping[str, range] = {
    "database_pool_size": range(1, 1001),
    "port": range(65_536),
    "tenant": range(1, 2**31),
    "background_interval_ms": range(10, 3_600_001),
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
        str, "Where card payments go. 'sandbox' is built in and moves no real money."
    ] = "sandbox"
    phone_region: Annotated[str, "Region for phone numbers without a country code."] = "TR"

    @property
    def resolved_database_url(self) -> str:
        """The database's address: the one that was set, or a file in the data folder."""
        return self.database_url or f"sqlite+aiosqlite:///{self.data_dir / 'tallystick.sqlite'}"

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
    if settings.phone_region not in SUPPORTED_REGIONS:
        raise SettingsError("TALLYSTICK_PHONE_REGION must be a country, such as TR.")
    if settings.card_gateway != "sandbox":
        raise SettingsError("TALLYSTICK_CARD_GATEWAY: the only gateway so far is 'sandbox'.")


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

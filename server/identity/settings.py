"""Figures of the identity room, and what it needs to know about the installation."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol


class Installation(Protocol):
    """The part of the process settings that this room reads."""

    @property
    def tenant(self) -> int: ...

    @property
    def public_url(self) -> str: ...

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...

    @property
    def phone_region(self) -> str: ...


def public_address(settings: Installation) -> str:
    """Return the address for links in messages; never a request's, which its sender chooses."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return settings.public_url.rstrip("/") or f"http://{host}:{settings.port}"


@dataclass(frozen=True, slots=True)
class IdentityPolicy:
    """Limits and lifetimes. Every figure is the default of a choice."""

    password_length_min: int = 8
    phone_code_life: timedelta = timedelta(minutes=5)
    phone_code_tries_max: int = 5
    phone_code_tries_per_day: int = 30
    phone_messages_per_day: int = 5
    email_link_life: timedelta = timedelta(hours=24)
    email_messages_per_day: int = 10
    resend_after: timedelta = timedelta(seconds=60)
    guesses_before_delay: int = 5
    guess_delay_first: timedelta = timedelta(minutes=1)
    guess_delay_max: timedelta = timedelta(hours=1)
    guess_memory: timedelta = timedelta(hours=24)
    access_life: timedelta = timedelta(minutes=15)
    remembered_life: timedelta = timedelta(hours=6)
    refresh_idle: timedelta = timedelta(days=30)
    refresh_absolute: timedelta = timedelta(days=90)
    refresh_grace: timedelta = timedelta(seconds=10)
    proof_window: timedelta = timedelta(seconds=60)
    challenge_life: timedelta = timedelta(minutes=5)
    challenges_per_hour: int = 30
    devices_max: int = 20
    sessions_max: int = 50
    last_seen_step: timedelta = timedelta(minutes=1)
    signing_key_life: timedelta = timedelta(days=30)
    unverified_life: timedelta = timedelta(hours=24)
    history_kept: timedelta = timedelta(days=90)


DEFAULT_POLICY = IdentityPolicy()

"""Registering people through the HTTP API, with the messages that the sandbox spool keeps."""

import re
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from server.kit.messaging import read_spool
from sim.demo.processes import DemoFailed

_WAIT_S = 20.0
_POLL_S = 0.05


@dataclass(frozen=True)
class Person:
    """Somebody with an account. The passwords are shown: these people exist in the demo only."""

    name: str
    username: str
    phone: str
    email: str
    password: str


SHOPPER = Person("the shopper", "amina", "+905301112201", "amina@example.org", "walnut-harbour-51")
SHOP = Person("the shop", "corner_shop", "+905301112202", "shop@example.org", "copper-lantern-82")
SUPPLIER = Person(
    "the supplier", "hill_farm", "+905301112203", "farm@example.org", "quiet-meadow-37"
)
PEOPLE = (SHOPPER, SHOP, SUPPLIER)


def register(person: Person, url: str, spool: Path) -> None:
    """Create an account and confirm its phone and e-mail, as the person would."""
    with httpx.Client(base_url=url, timeout=30) as http:
        account = {
            "phone": person.phone,
            "email": person.email,
            "username": person.username,
            "password": person.password,
        }
        _check(http.post("/v1/registrations", json=account))
        code = _find(spool, person.phone, r"\b(\d{6})\b")
        _check(http.post("/v1/contacts/phone/confirm", json={"phone": person.phone, "code": code}))
        token = _find(spool, person.email, r"([A-Za-z0-9_-]{43})")
        _check(http.post("/v1/contacts/email/confirm", json={"token": token}))


def _check(response: httpx.Response) -> None:
    if not response.is_success:
        raise DemoFailed(f"{response.request.url}: {response.status_code} {response.text}")


def _find(spool: Path, address: str, pattern: str) -> str:
    """Wait for the message to an address and return what the pattern finds in it."""
    deadline = time.monotonic() + _WAIT_S
    while time.monotonic() < deadline:
        for message in reversed(read_spool(spool)):
            if message.to == address and (found := re.search(pattern, message.text)):
                return found.group(1)
        time.sleep(_POLL_S)
    raise DemoFailed(f"No message to {address} with {pattern} came within {_WAIT_S:.0f} s.")

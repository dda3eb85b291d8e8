"""People, how they sign in, and their devices."""

from server.identity.accounts import (
    find_user,
    find_user_by_name,
    language_of,
    set_role,
    users_by_id,
)
from server.identity.authenticator import SessionAuthenticator
from server.identity.device_states import device_by_id, devices_by_keys, suspend_device
from server.identity.domain import (
    PERMISSIONS,
    ContactKind,
    DeviceStatus,
    DeviceView,
    Role,
    UserView,
)
from server.identity.jobs import purge
from server.identity.letters import write_to_user
from server.identity.permissions import may
from server.identity.recipients import (
    Address,
    Payee,
    Payees,
    address_owners,
    find_payees,
    invite,
    lookup_refusal,
    read_recipient,
    tell_user,
)
from server.identity.regions import phone_regions
from server.identity.sessions import signed_in_at
from server.identity.settings import public_address

__all__ = [
    "PERMISSIONS",
    "Address",
    "ContactKind",
    "DeviceStatus",
    "DeviceView",
    "Payee",
    "Payees",
    "Role",
    "SessionAuthenticator",
    "UserView",
    "address_owners",
    "device_by_id",
    "devices_by_keys",
    "find_payees",
    "find_user",
    "find_user_by_name",
    "invite",
    "language_of",
    "lookup_refusal",
    "may",
    "phone_regions",
    "public_address",
    "purge",
    "read_recipient",
    "set_role",
    "signed_in_at",
    "suspend_device",
    "tell_user",
    "users_by_id",
    "write_to_user",
]

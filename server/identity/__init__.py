"""People, how they sign in, and their devices."""

from server.identity.accounts import find_user, find_user_by_name, set_role, users_by_id
from server.identity.authenticator import SessionAuthenticator
from server.identity.device_states import device_by_id, devices_by_keys, suspend_device
from server.identity.domain import PERMISSIONS, DeviceStatus, DeviceView, Role, UserView
from server.identity.jobs import purge
from server.identity.permissions import may
from server.identity.settings import public_address

__all__ = [
    "PERMISSIONS",
    "DeviceStatus",
    "DeviceView",
    "Role",
    "SessionAuthenticator",
    "UserView",
    "device_by_id",
    "devices_by_keys",
    "find_user",
    "find_user_by_name",
    "may",
    "public_address",
    "purge",
    "set_role",
    "suspend_device",
    "users_by_id",
]

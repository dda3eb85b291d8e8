"""HTTP of devices."""

from typing import Final
from uuid import UUID

from litestar import delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from server.identity import device_states, devices
from server.identity.desk import Desk
from server.identity.domain import DeviceStatus
from server.identity.errors import (
    ChallengeInvalid,
    DeviceKeyInvalid,
    DeviceKeyTaken,
    DeviceStateConflict,
    EnrolmentProofInvalid,
    NameInvalid,
    TooManyDevices,
)
from server.identity.permissions import may
from server.identity.schemas import (
    ChallengeView,
    DeviceCreate,
    DeviceDetail,
    DeviceEnrolled,
    NameChange,
)
from server.kit.auth import Caller
from server.kit.documentation import BODY_REFUSALS, refusals
from server.kit.errors import NotFound, TooManyRequests, Unauthenticated
from server.kit.schema import Page

OWN_DEVICES: Final = [may("own_devices")]
_CHANGES: Final = refusals(Unauthenticated, NotFound, DeviceStateConflict)


@post(
    "/devices/challenges",
    summary="Get a challenge for enrolling a device",
    status_code=201,
    guards=OWN_DEVICES,
    tags=["Devices"],
    responses=refusals(Unauthenticated, TooManyRequests),
)
async def create_challenge(
    desk: NamedDependency[Desk], caller: NamedDependency[Caller]
) -> ChallengeView:
    """Get 32 random bytes for the device to sign: good for five minutes, once, in this session."""
    return await devices.issue_challenge(desk, caller)


@post(
    "/devices",
    summary="Enrol a device",
    status_code=201,
    guards=OWN_DEVICES,
    tags=["Devices"],
    responses=refusals(
        *BODY_REFUSALS,
        Unauthenticated,
        ChallengeInvalid,
        DeviceKeyInvalid,
        EnrolmentProofInvalid,
        DeviceKeyTaken,
        DeviceStateConflict,
        TooManyDevices,
        NameInvalid,
    ),
)
async def create_device(
    desk: NamedDependency[Desk], caller: NamedDependency[Caller], data: JSONBody[DeviceCreate]
) -> DeviceEnrolled:
    """Bind this session to a device key, shown to be held by a signature over the challenge.

    The tokens of the answer replace those of the session and need a DPoP proof (RFC 9449) with each
    call. Enrolling a key of your own again binds the new session to the same device.
    """
    return await devices.enrol_device(desk, caller, data)


@get(
    "/devices",
    summary="List your devices",
    guards=OWN_DEVICES,
    tags=["Devices"],
    responses=refusals(Unauthenticated),
)
async def list_devices(
    desk: NamedDependency[Desk], caller: NamedDependency[Caller]
) -> Page[DeviceDetail]:
    """List your devices, the newest first, at most a hundred."""
    return Page(items=await device_states.list_devices(desk, caller))


@patch(
    "/devices/{device_id:uuid}",
    summary="Rename a device",
    guards=OWN_DEVICES,
    tags=["Devices"],
    responses=refusals(*BODY_REFUSALS, Unauthenticated, NotFound, NameInvalid),
)
async def rename_device(
    desk: NamedDependency[Desk],
    caller: NamedDependency[Caller],
    device_id: FromPath[UUID],
    data: JSONBody[NameChange],
) -> DeviceDetail:
    """Give one of your devices another name."""
    return await device_states.rename_device(desk, caller, device_id, data.name)


@post(
    "/devices/{device_id:uuid}/suspend",
    summary="Suspend a device",
    status_code=200,
    guards=OWN_DEVICES,
    tags=["Devices"],
    responses=_CHANGES,
)
async def suspend_device(
    desk: NamedDependency[Desk], caller: NamedDependency[Caller], device_id: FromPath[UUID]
) -> DeviceDetail:
    """Stop a device for now; its tokens are dead until you resume it from another session."""
    return await device_states.change_device(desk, caller, device_id, DeviceStatus.SUSPENDED)


@post(
    "/devices/{device_id:uuid}/resume",
    summary="Resume a device",
    status_code=200,
    guards=OWN_DEVICES,
    tags=["Devices"],
    responses=_CHANGES,
)
async def resume_device(
    desk: NamedDependency[Desk], caller: NamedDependency[Caller], device_id: FromPath[UUID]
) -> DeviceDetail:
    """Let a device that you suspended call again."""
    return await device_states.change_device(desk, caller, device_id, DeviceStatus.ACTIVE)


@post(
    "/devices/{device_id:uuid}/report-lost",
    summary="Report a device lost",
    status_code=200,
    guards=OWN_DEVICES,
    tags=["Devices"],
    responses=_CHANGES,
)
async def report_device_lost(
    desk: NamedDependency[Desk], caller: NamedDependency[Caller], device_id: FromPath[UUID]
) -> DeviceDetail:
    """Stop a device for good and end its sessions. If you find it, enrol it with a new key."""
    return await device_states.change_device(desk, caller, device_id, DeviceStatus.LOST)


@delete(
    "/devices/{device_id:uuid}",
    summary="Revoke a device",
    guards=OWN_DEVICES,
    tags=["Devices"],
    responses=_CHANGES,
)
async def revoke_device(
    desk: NamedDependency[Desk], caller: NamedDependency[Caller], device_id: FromPath[UUID]
) -> None:
    """Stop a device for good and end its sessions."""
    await device_states.change_device(desk, caller, device_id, DeviceStatus.REVOKED)


DEVICE_HANDLERS: Final = (
    create_challenge,
    create_device,
    list_devices,
    rename_device,
    suspend_device,
    resume_device,
    report_device_lost,
    revoke_device,
)

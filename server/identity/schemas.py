"""Requests and answers of the identity room."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta

from server.identity.addresses import EMAIL_MAX, PHONE_MAX
from server.identity.domain import NAME_MAX
from server.identity.passwords import PASSWORD_MAX
from server.kit.i18n import Language
from server.kit.schema import Schema

Phone = Annotated[
    str,
    Meta(
        min_length=3,
        max_length=PHONE_MAX,
        description="With country code; without one the region of the installation is assumed.",
        examples=["+905321234567"],
    ),
]
Email = Annotated[str, Meta(min_length=3, max_length=EMAIL_MAX, examples=["ada@example.com"])]
Password = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=PASSWORD_MAX,
        description="No rules about kinds of characters; long and unlikely is what counts.",
        examples=["plum radio under seven"],
    ),
]
Name = Annotated[str, Meta(min_length=1, max_length=NAME_MAX, examples=["Ada's phone"])]
Token = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        description="Base64url, no padding",
        examples=["LdAL134CIs7YgmZUganB2fkHMJ0W4F7QB6HqY5KEd6k"],
    ),
]

_PROOF_EXAMPLE = (
    "IEQ44wleIqhAfFnop_fUSInlgEFhYZ4lB81W_CUe7wHg25UXKE0UPqdXzYFt_d_bz1WISnqvW0pLIw4Uo9NqAg"
)


class RegistrationCreate(Schema):
    phone: Phone
    email: Email
    username: Annotated[
        str, Meta(min_length=1, max_length=64, description="a-z, 0-9, _", examples=["ada"])
    ]
    password: Password
    display_name: Annotated[str, Meta(max_length=NAME_MAX, examples=["Ada L."])] | None = None


class Accepted(Schema):
    """What follows is written to the phone number and the e-mail address."""

    status: Literal["accepted"] = "accepted"
    detail: str = (
        "If this can go on, a code was sent to the phone number and a link to the e-mail address."
    )


class PhoneConfirmation(Schema):
    phone: Phone
    code: Annotated[str, Meta(pattern="^[0-9]{6}$", examples=["042917"])]


class EmailConfirmation(Schema):
    token: Token


class PhoneAddress(Schema):
    phone: Phone


class EmailAddress(Schema):
    email: Email


class SessionCreate(Schema):
    identifier: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=EMAIL_MAX,
            description="Phone number, e-mail address or username",
            examples=["ada"],
        ),
    ]
    password: Password
    device_name: Name
    remember: Annotated[
        bool,
        Meta(description="A six-hour access token and no refresh token, for simple clients."),
    ] = False


class SessionTokens(Schema):
    """The tokens of a session."""

    access_token: str
    token_type: Literal["Bearer", "DPoP"]
    expires_in: Annotated[int, Meta(description="Seconds")]
    refresh_token: str | None
    session_id: str


class RefreshCreate(Schema):
    refresh_token: Token


class SessionView(Schema):
    id: str
    name: str
    created_at: datetime
    last_seen_at: datetime
    current: bool
    device_id: str | None


class NameChange(Schema):
    name: Name


class ContactView(Schema):
    address: str
    confirmed: bool


class AccountView(Schema):
    """The caller's own account."""

    id: str
    username: str
    display_name: str
    role: str
    permissions: list[str]
    phone: ContactView | None
    email: ContactView | None
    unconfirmed: Annotated[
        list[Literal["phone", "email"]], Meta(description="What still waits for its code or link")
    ]
    language: Language | None
    session_id: str
    device_id: str | None
    created_at: datetime


class LanguageChoice(Schema):
    """The language of what is made for a person; null means that of each request."""

    language: Annotated[Language | None, Meta(examples=["sw"])]


class ChallengeView(Schema):
    challenge: Annotated[str, Meta(description="32 bytes, base64url")]
    expires_in: Annotated[int, Meta(description="Seconds")]


class DeviceCreate(Schema):
    name: Name
    public_key: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=512,
            description="32 bytes of an Ed25519 key or 33 of a compressed P-256 point, base64url",
            examples=["RCmTBlAEqh5MSPTdAVgZTAI0m8xmTNluQA6iaZGKjVE"],
        ),
    ]
    challenge: Token
    proof: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=128,
            description="Base64url of the key's signature over the ASCII text "
            "'tallystick/1/enrol', the 32 bytes of the challenge, and the 16 bytes of the user id",
            examples=[_PROOF_EXAMPLE],
        ),
    ]


class DeviceEnrolled(Schema):
    """The device, and the tokens that replace those of the session: they are bound to its key."""

    device_id: str
    access_token: str
    token_type: Literal["DPoP"]
    expires_in: Annotated[int, Meta(description="Seconds")]
    refresh_token: str | None
    session_id: str


class DeviceDetail(Schema):
    id: str
    name: str
    status: Literal["active", "suspended", "lost", "revoked"]
    held: Annotated[bool, Meta(description="Suspended by the house; the owner cannot resume it")]
    key_id: Annotated[str, Meta(description="32 bytes, base64url")]
    enrolled_at: datetime
    changed_at: datetime
    current: bool

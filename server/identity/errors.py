"""Refusals of the identity room, each with a stable code."""

from server.kit.errors import Conflict, Forbidden, TallyError, Unauthenticated


class UsernameInvalid(TallyError):
    code, status, title = "username_invalid", 422, "The username cannot be used"


class PhoneInvalid(TallyError):
    code, status, title = "phone_invalid", 422, "The phone number cannot be used"


class EmailInvalid(TallyError):
    code, status, title = "email_invalid", 422, "The e-mail address cannot be used"


class NameInvalid(TallyError):
    """A display, session or device name is empty or holds characters that do not print."""

    code, status, title = "name_invalid", 422, "The name cannot be used"


class PasswordWeak(TallyError):
    """The password is short, common, or close to something others know."""

    code, status, title = "password_weak", 422, "The password is too easy to guess"


class CodeInvalid(TallyError):
    """Wrong, expired, used, or of a number that waits for none: the answer is the same."""

    code, status, title = "code_invalid", 422, "The code is not good"


class LinkInvalid(TallyError):
    code, status, title = "link_invalid", 422, "The link is not good"


class SignInFailed(Unauthenticated):
    """Unknown, wrong, or paused after wrong tries: the answer is the same."""

    code, title = "sign_in_failed", "Sign-in failed"


class ContactUnconfirmed(Forbidden):
    """The password was right, but neither phone nor e-mail has been confirmed yet."""

    code, title = "contact_unconfirmed", "Confirm the phone or the e-mail first"


class TokenInvalid(Unauthenticated):
    code, title = "token_invalid", "The access token is not good"


class TokenExpired(Unauthenticated):
    code, title = "token_expired", "The access token has expired"


class SessionEnded(Unauthenticated):
    code, title = "session_ended", "The session has ended"


class RefreshTokenInvalid(Unauthenticated):
    code, title = "refresh_token_invalid", "The refresh token is not good"


class ProofInvalid(Unauthenticated):
    """The DPoP proof is missing, malformed, or made for another request or key."""

    code, title = "proof_invalid", "The proof of the device key is not good"


class ProofOutOfTime(Unauthenticated):
    """The proof's time is outside the window; ``server_time`` helps the client's clock."""

    code, title = "proof_out_of_time", "The proof is too old or too new"


class ProofReplayed(Unauthenticated):
    code, title = "proof_replayed", "The proof was used before"


class DeviceInactive(Unauthenticated):
    """The session's device is suspended, lost or revoked."""

    code, title = "device_inactive", "The device is not active"


class ChallengeInvalid(TallyError):
    code, status, title = "challenge_invalid", 422, "The challenge is not good"


class DeviceKeyInvalid(TallyError):
    code, status, title = "device_key_invalid", 422, "The device key cannot be used"


class EnrolmentProofInvalid(TallyError):
    code, status, title = "enrolment_proof_invalid", 422, "The proof of possession is not good"


class DeviceKeyTaken(Conflict):
    """A key belongs to one user, and to one device of theirs, for ever."""

    code, title = "device_key_taken", "The device key is in use"


class DeviceStateConflict(Conflict):
    code, title = "device_state", "The device's state does not allow this"


class TooManyDevices(Conflict):
    code, title = "too_many_devices", "Too many devices"

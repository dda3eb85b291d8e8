"""What can go wrong with keys. Each says whether the keys are still there."""

from client_sdk.errors import StoreError


class KeysError(StoreError):
    """The wallet's keys cannot be used now; nothing was signed."""

    code = "keys_error"


class WrongPin(KeysError):
    code = "wrong_pin"
    fix = "Check the PIN; a token locks itself after a few wrong ones."


class PinLocked(KeysError):
    code = "pin_locked"
    fix = "Unlock the token with its unblocking code (PUK), or ask who issued it."


class TokenMissing(KeysError):
    """The token is not in its place, or the connection to it was lost."""

    code = "token_missing"
    retryable = True
    fix = "Put the token in and try again; a payment that was begun goes on where it stopped."


class TokenFailed(KeysError):
    """The token is there and does not do what it was asked for."""

    code = "token_failed"


class KeyGone(KeysError):
    """The key was deleted, or this is another token than the wallet was made with."""

    code = "key_gone"
    fix = (
        "Use the token that the wallet was made with. If its key was deleted, enrol a new wallet: "
        "what is not claimed is credited to your account after the claim-by date."
    )


class PersonRefused(KeysError):
    """Whoever holds the device did not confirm; nothing was reserved or signed."""

    code = "person_refused"
    retryable = True
    fix = "Confirm on the device to pay."

"""Refusals about the emergency balance."""

from server.kit.errors import Forbidden


class SignInAgain(Forbidden):
    """The session is not fresh enough for what is asked."""

    code, title = "sign_in_again", "Sign in again first"

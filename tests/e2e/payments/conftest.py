"""The people of the identity tests, who have money here."""

from tests.e2e.identity.conftest import ada, client, deliver, eve

__all__ = ["ada", "client", "deliver", "eve"]

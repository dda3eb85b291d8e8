"""HTTP of the payments room: the routes of its slices."""

from collections.abc import Sequence

from litestar.types import ControllerRouterHandler

from server.payments.cards.controllers import CARD_ROUTES
from server.payments.history.controllers import HISTORY_ROUTES
from server.payments.papers.controllers import PAPER_ROUTES

PAYMENT_ROUTES: Sequence[ControllerRouterHandler] = [*HISTORY_ROUTES, *PAPER_ROUTES, *CARD_ROUTES]

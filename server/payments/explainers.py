"""Which slice explains which movements in histories and on papers."""

from collections.abc import Mapping

from server.payments.history.details import Explainer
from server.payments.transfers import TransferExplainer, Transfers

Explainers = Mapping[str, Explainer]


def explainers_of(transfers: Transfers) -> Explainers:
    """Return the explainers by the word that names a movement's subject."""
    return {"transfer": TransferExplainer(transfers.desk)}

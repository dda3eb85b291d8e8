"""HTTP of trust: revocations, the log of certificates, certificates for further keys."""

from typing import Annotated

from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter

from server.identity import may
from server.kit.auth import OPEN_ROUTE, Caller, device_bound
from server.kit.documentation import BODY_REFUSALS, refusals
from server.kit.errors import Forbidden, Unauthenticated
from server.kit.schema import to_base64url
from server.kit.unit_of_work import Tx, UnitOfWork
from server.offline.bound_keys import certify_bound_keys
from server.offline.certificate_log import log_entries, log_head
from server.offline.errors import KeyBindingInvalid
from server.offline.issuer_keys import IssuerKeys
from server.offline.policy import policy_in_force
from server.offline.schemas import (
    CertificateLogView,
    CertificatesCreate,
    CertificatesCreated,
    RevocationsView,
)
from server.offline.trust_news import revocations_since
from server.settings import Settings

NumberFrom = Annotated[int, QueryParameter(ge=0, le=2**53 - 1)]


@get(
    "/offline/revocations",
    summary="What no payee should take",
    opt={OPEN_ROUTE: True},
    responses=refusals(),
)
async def show_revocations(
    uow: NamedDependency[UnitOfWork],
    issuer_keys: NamedDependency[IssuerKeys],
    settings: NamedDependency[Settings],
    epoch: NumberFrom = 0,
) -> RevocationsView:
    """Return what leads from an epoch to the present list: a delta, or the whole list, signed."""
    return await uow.read(lambda tx: revocations_since(tx, settings.tenant, issuer_keys, epoch))


@get(
    "/offline/certificate-log",
    summary="Every certificate ever signed",
    opt={OPEN_ROUTE: True},
    responses=refusals(),
)
async def show_certificate_log(
    uow: NamedDependency[UnitOfWork],
    settings: NamedDependency[Settings],
    after: NumberFrom = 0,
) -> CertificateLogView:
    """Return ids of certificates in the order of the log, at most 1,000, and its head.

    The heads in key sets and revocation lists are signed: who hashes the ids gets the same.
    """

    async def look(tx: Tx) -> CertificateLogView:
        head = await log_head(tx, settings.tenant)
        entries = await log_entries(tx, settings.tenant, after)
        return CertificateLogView(
            size=head.size,
            head=to_base64url(head.head),
            after=after,
            certificate_ids=[to_base64url(entry) for entry in entries],
        )

    return await uow.read(look)


@post(
    "/offline/certificates",
    summary="Certify further keys of the calling device",
    guards=[may("own_money"), device_bound],
    responses=refusals(*BODY_REFUSALS, Unauthenticated, Forbidden, KeyBindingInvalid),
)
async def create_certificates(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    issuer_keys: NamedDependency[IssuerKeys],
    data: JSONBody[CertificatesCreate],
) -> CertificatesCreated:
    """Certify keys that signed for themselves that they belong to this device.

    A payer who shows another key at each payment is not recognised by payees who compare notes.
    """
    rules = await uow.read(lambda tx: policy_in_force(tx, caller.tenant))
    return await certify_bound_keys(uow, issuer_keys, rules, caller, data)


TRUST_ROUTES = [
    Router(
        "/v1",
        route_handlers=[show_revocations, show_certificate_log, create_certificates],
        tags=["Offline money"],
    )
]

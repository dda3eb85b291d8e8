"""What every address has in common: refusals, correlation ids, health, the API page."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from litestar import Litestar
from litestar.testing import AsyncTestClient

from server.kit.auth import OPEN_ROUTE

Client = AsyncTestClient[Litestar]
_SOME_ID = "01890a5d-ac96-774b-bcce-b302099a8057"


def _operations(app: Litestar) -> list[tuple[str, str, bool, bool]]:
    """Return (method, path with an id filled in, open to anybody, takes a body)."""
    found = []
    for route in app.routes:
        for handler in getattr(route, "route_handlers", []):
            if not handler.resolve_include_in_schema():
                continue
            path = route.path_format
            while "{" in path:
                path = path[: path.index("{")] + _SOME_ID + path[path.index("}") + 1 :]
            has_body = handler.parsed_data_field is not None
            is_open = bool(handler.opt.get(OPEN_ROUTE))
            found += [
                (method, path, is_open, has_body)
                for method in handler.http_methods
                if method != "OPTIONS"
            ]
    return found


def _assert_problem(response: Any, status: int | None = None) -> dict[str, Any]:
    assert response.headers["content-type"].startswith("application/problem+json"), response.text
    document: dict[str, Any] = response.json()
    assert document["status"] == response.status_code
    if status is not None:
        assert response.status_code == status, document
    assert document["code"]
    assert document["title"]
    assert document["detail"]
    assert document["type"] == f"urn:tallystick:error:{document['code']}"
    assert document["correlation_id"] == response.headers["x-correlation-id"]
    return document


async def test_every_address_but_the_open_ones_refuses_strangers(
    app: Litestar, client: Client
) -> None:
    operations = _operations(app)
    assert len(operations) > 20
    for method, path, is_open, has_body in operations:
        if not is_open:
            response = await client.request(method, path, json={} if has_body else None)
            document = _assert_problem(response, 401)
            assert document["code"] == "unauthenticated", (method, path)


async def test_a_token_that_is_none_opens_nothing(app: Litestar, client: Client) -> None:
    shown = ["Bearer", "Bearer x.y.z", "DPoP abc", "Basic YTpi", "Bearer " + "a" * 9000]
    for method, path, is_open, _ in _operations(app):
        if is_open:
            continue
        for authorization in shown:
            response = await client.request(
                method, path, headers={"Authorization": authorization}, json={}
            )
            _assert_problem(response, 401)


async def test_open_addresses_refuse_bodies_that_are_not_what_they_declare(
    app: Litestar, client: Client
) -> None:
    json_type = {"Content-Type": "application/json"}
    tried = 0
    for method, path, is_open, has_body in _operations(app):
        if not (is_open and has_body):
            continue
        tried += 1
        for content in (b"", b"{", b"[]", b"null", b'"x"', b"\xff", b'{"unknown": 1}', b"[" * 9999):
            response = await client.request(method, path, content=content, headers=json_type)
            _assert_problem(response, 400)
        for media_type in ("text/plain", "application/x-www-form-urlencoded", ""):
            response = await client.request(
                method, path, content=b"{}", headers={"Content-Type": media_type}
            )
            _assert_problem(response, 415)
        response = await client.request(method, path, content=b" " * 2_000_001, headers=json_type)
        _assert_problem(response, 413)
    assert tried >= 4


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    body=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "phone",
                        "email",
                        "username",
                        "password",
                        "identifier",
                        "code",
                        "token",
                        "device_name",
                    ]
                ),
                inner,
                max_size=5,
            )
        ),
        max_leaves=12,
    )
)
async def test_no_json_makes_an_open_address_fail(
    app: Litestar, client: Client, body: object
) -> None:
    content = json.dumps(body)
    for method, path, is_open, has_body in _operations(app):
        if is_open and has_body:
            response = await client.request(
                method, path, content=content, headers={"Content-Type": "application/json"}
            )
            assert response.status_code < 500, (path, content, response.text)


async def test_what_is_not_there_is_a_problem_document_too(client: Client) -> None:
    assert (await client.get("/v1/nothing")).status_code == 404
    document = (await client.get("/v1/nothing")).json()
    assert document["code"] == "not_found"
    assert (await client.delete("/health/live")).json()["code"] == "method_not_allowed"


async def test_a_correlation_id_comes_back_and_a_dangerous_one_is_replaced(client: Client) -> None:
    async def echoed(offered: str) -> str:
        response = await client.get("/health/live", headers={"X-Correlation-Id": offered})
        return response.headers["x-correlation-id"]

    assert await echoed("till-7-0001") == "till-7-0001"
    assert await echoed('x"; drop table') != 'x"; drop table'


async def test_health_names_each_dependency(client: Client) -> None:
    assert (await client.get("/health/live")).json() == {"status": "alive"}
    ready = await client.get("/health/ready")
    assert ready.status_code == 200
    assert ready.json() == {"status": "ready", "dependencies": {"database": "up", "schema": "up"}}


async def test_the_api_page_needs_no_other_host(client: Client) -> None:
    page = (await client.get("/docs")).text
    assert "swagger-ui" in page
    assert "://cdn" not in page
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css", "swagger-ui-standalone-preset.js"):
        assert f"/docs-assets/{asset}" in page
        assert (await client.get(f"/docs-assets/{asset}")).status_code == 200


async def test_every_operation_is_explained(client: Client) -> None:
    document = (await client.get("/docs/openapi.json")).json()
    for path, item in document["paths"].items():
        for method, operation in item.items():
            assert operation.get("summary"), (method, path)
            assert operation.get("tags"), (method, path)


@pytest.mark.parametrize("path", ["/docs/openapi.json", "/docs"])
async def test_the_api_page_is_open(client: Client, path: str) -> None:
    assert (await client.get(path)).status_code == 200

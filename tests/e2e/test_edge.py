"""What every address has in common: refusals, correlation ids, health, the API page."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.testing import AsyncTestClient

from server.kit import strict_json
from server.kit.auth import OPEN_ROUTE
from server.kit.http import PROBLEM_MEDIA_TYPE

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


@pytest.mark.parametrize("name", ["%00", "a" * 5000, "..%2fswagger_ui.py", "%ff", "index.html"])
async def test_only_the_parts_of_the_api_page_are_served(client: Client, name: str) -> None:
    _assert_problem(await client.get(f"/docs-assets/{name}"), 404)


async def test_the_pages_run_no_script_but_their_own(client: Client) -> None:
    for path in ("/docs", "/confirm-email"):
        policy = (await client.get(path)).headers["content-security-policy"]
        scripts = next(part for part in policy.split("; ") if part.startswith("script-src"))
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in scripts
    assert "<script>" not in (await client.get("/docs")).text


@pytest.mark.parametrize(
    "path", ["/v1/me", "/nothing", "/health/live", "/docs", "/docs/openapi.json", "/confirm-email"]
)
async def test_no_answer_is_kept_sniffed_or_shared(client: Client, path: str) -> None:
    headers = (await client.get(path, headers={"Origin": "https://evil.example"})).headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "access-control-allow-origin" not in headers


async def test_published_keys_may_be_kept_for_a_while(client: Client) -> None:
    headers = (await client.get("/.well-known/jwks.json")).headers
    assert headers.get_list("cache-control") == ["max-age=300, public"]


async def test_a_body_with_two_lengths_is_refused(client: Client) -> None:
    both = {"Transfer-Encoding": "chunked", "Content-Length": "2"}
    response = await client.post(
        "/v1/sessions", content=b"{}", headers=both | {"Content-Type": "application/json"}
    )
    assert "Transfer-Encoding" in _assert_problem(response, 400)["detail"]


async def test_every_operation_is_explained(client: Client) -> None:
    document = (await client.get("/docs/openapi.json")).json()
    for path, item in document["paths"].items():
        for method, operation in item.items():
            assert operation.get("summary"), (method, path)
            assert operation.get("tags"), (method, path)


def _handlers(app: Litestar) -> dict[str, HTTPRouteHandler]:
    """Return the described handlers by the id of their operation."""
    return {
        f"{method.lower()} {route.path_format}": handler
        for route in app.routes
        for handler in getattr(route, "route_handlers", [])
        if handler.resolve_include_in_schema()
        for method in handler.http_methods
        if method != "OPTIONS"
    }


async def test_every_operation_documents_how_it_refuses(app: Litestar, client: Client) -> None:
    paths = (await client.get("/docs/openapi.json")).json()["paths"]
    handlers = _handlers(app)
    assert len(handlers) > 20
    for name, handler in handlers.items():
        method, _, path = name.partition(" ")
        answers = paths[path][method]["responses"]
        expected = set() if handler.opt.get(OPEN_ROUTE) else {"401"}
        if handler.parsed_data_field is not None:
            expected |= {"400", "413", "415"}
        assert expected <= set(answers), name
        for status, answer in answers.items():
            if status >= "400" and path != "/health/ready":
                assert set(answer["content"]) == {PROBLEM_MEDIA_TYPE}, (name, status)


async def test_every_body_has_an_example_that_fits(app: Litestar, client: Client) -> None:
    document = (await client.get("/docs/openapi.json")).json()
    tried = 0
    for name, handler in _handlers(app).items():
        field = handler.parsed_data_field
        if field is None:
            continue
        method, _, path = name.partition(" ")
        described = document["paths"][path][method]["requestBody"]["content"]["application/json"]
        example = _example(document, described["schema"])
        strict_json.decode(json.dumps(example).encode(), field.annotation)
        tried += 1
    assert tried > 8


def _example(document: dict[str, Any], schema: dict[str, Any]) -> Any:
    """Return what the API page shows: the examples of the fields, put together."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if "examples" in schema:
        return schema["examples"][0]
    if "default" in schema:
        return schema["default"]
    if "const" in schema:
        return schema["const"]
    if "oneOf" in schema:
        return _example(document, schema["oneOf"][0])
    if schema.get("type") == "array":
        return [_example(document, schema["items"])]
    return {
        name: _example(document, part)
        for name, part in schema["properties"].items()
        if name in schema.get("required", []) or "examples" in part
    }


@pytest.mark.parametrize("path", ["/docs/openapi.json", "/docs"])
async def test_the_api_page_is_open(client: Client, path: str) -> None:
    assert (await client.get(path)).status_code == 200

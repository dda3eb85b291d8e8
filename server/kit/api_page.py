"""The API page: what every address takes and answers, tried out in the browser.

Its scripts are served from here and none stands in the page itself: the page works without the
internet, and the browser is told to run nothing else.
"""

from functools import cache
from importlib import metadata, resources
from mimetypes import guess_type
from typing import Any, Final

from litestar import Request, Response, Router, get
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.params import FromPath

from server.kit.auth import OPEN_ROUTE
from server.kit.errors import NotFound

API_PAGE: Final = "/docs"
_ASSETS: Final = "/docs-assets"
_DESCRIPTION: Final = """
A money backend that keeps working when the network does not.

Amounts are whole minor units beside a currency code; times are UTC. A refusal is a problem document
(RFC 9457) with a stable `code`. Requests that move money carry an `Idempotency-Key`.
"""
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; connect-src 'self'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
}
_PAGE: Final = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Tallystick</title>
<link rel="icon" type="image/png" href="{_ASSETS}/favicon-32x32.png">
<link rel="stylesheet" href="{_ASSETS}/swagger-ui.css">
</head>
<body>
<div id="swagger-container"></div>
<script src="{_ASSETS}/swagger-ui-bundle.js"></script>
<script src="{_ASSETS}/swagger-ui-standalone-preset.js"></script>
<script src="{_ASSETS}/start.js"></script>
</body>
</html>
"""
_START: Final = f"""SwaggerUIBundle({{
  url: "{API_PAGE}/openapi.json",
  dom_id: "#swagger-container",
  deepLinking: true,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset],
}});
"""
_PACKAGED: Final = frozenset(
    {
        "favicon-32x32.png",
        "swagger-ui-bundle.js",
        "swagger-ui-standalone-preset.js",
        "swagger-ui.css",
    }
)


class _ApiPage(OpenAPIRenderPlugin):
    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:  # noqa: ARG002
        return _PAGE.encode()


def openapi_config() -> OpenAPIConfig:
    """Return how the addresses are described, and where."""
    return OpenAPIConfig(
        title="Tallystick",
        version=metadata.version("tallystick"),
        description=_DESCRIPTION,
        openapi_router=Router(
            API_PAGE,
            route_handlers=[],
            opt={OPEN_ROUTE: True},
            include_in_schema=False,
            response_headers=_HEADERS,
        ),
        security=[{"access_token": []}],
        components=Components(
            security_schemes={
                "access_token": SecurityScheme(
                    type="http",
                    scheme="bearer",
                    bearer_format="JWT",
                    description="The access token of POST /v1/sessions. A token that is bound to a "
                    "device is sent as 'DPoP' with a proof of its key (RFC 9449).",
                )
            }
        ),
        render_plugins=[_ApiPage(path="/")],
    )


@get(f"{_ASSETS}/{{name:str}}", include_in_schema=False, opt={OPEN_ROUTE: True})
async def show_asset(name: FromPath[str]) -> Response[bytes]:
    """Serve a script, style or picture of the API page."""
    if name == "start.js":
        content = _START.encode()
    elif name in _PACKAGED:
        content = _packaged(name)
    else:
        raise NotFound("The API page has no such part.")
    media_type, _ = guess_type(name)
    return Response(
        content, media_type=media_type, headers={"Cache-Control": "public, max-age=3600"}
    )


@cache
def _packaged(name: str) -> bytes:
    return resources.files("swagger_ui").joinpath("static", name).read_bytes()

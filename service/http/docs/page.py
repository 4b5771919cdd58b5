# SPDX-License-Identifier: MIT
"""GET /docs: a page on which the API can be read and tried. It loads nothing from elsewhere.

docs/decisions/docs-page.md says why it is Swagger UI, and how to take a newer one.
"""

from functools import cache
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.http.errors import NotFound
from service.http.openapi.operation import Endpoint
from service.http.routes import prefixes

_HERE = Path(__file__).parent
_GZIP = {"Content-Encoding": "gzip"}

_DIRECTIVES = {
    "default-src": "'none'",  # all that is not named below: fonts, frames, workers, media
    "script-src": "'self'",  # scripts are files; one that was injected into the page does not run
    "style-src": "'self'",  # likewise
    "img-src": "'self' data:",  # icons that stand in the style sheet
    "connect-src": "'self'",  # the description, and the calls
    "base-uri": "'none'",  # no injected <base> leads the scripts elsewhere
    "form-action": "'none'",  # no injected form sends a token elsewhere
    "frame-ancestors": "'none'",  # no other page lays itself over this one
}
PAGE_HEADERS = {
    "Content-Security-Policy": "; ".join(" ".join(each) for each in _DIRECTIVES.items()),
    "Referrer-Policy": "no-referrer",
}

_ASSETS = {
    "page.js": ("page.js", "text/javascript", {}),
    "page.css": ("page.css", "text/css", {}),
    "swagger-ui-bundle.js": ("swagger_ui/swagger-ui-bundle.js.gz", "text/javascript", _GZIP),
    "swagger-ui.css": ("swagger_ui/swagger-ui.css.gz", "text/css", _GZIP),
}


def page_endpoint(given: str | None = None) -> Endpoint:
    """The page. `given`: the URL of the values that it begins with, such as a token."""
    attribute = f' data-given="{given}"' if given else ""
    html = _read("page.html").replace(b"<body", b"<body" + attribute.encode())

    async def endpoint(_request: Request[Any]) -> Response:
        return Response(html, media_type="text/html", headers=PAGE_HEADERS)

    return endpoint


async def asset(request: Request[Any]) -> Response:
    """The larger ones are stored compressed, and every browser takes them so."""
    found = _ASSETS.get(request.path_params["name"])
    if found is None:
        raise NotFound
    file, media_type, headers = found
    return Response(_read(file), media_type=media_type, headers=headers)


@cache
def _read(file: str) -> bytes:
    return (_HERE / file).read_bytes()


def asset_routes(root_path: str) -> list[Route]:
    return [Route(f"{prefix}/docs/{{name}}", asset) for prefix in prefixes(root_path)]

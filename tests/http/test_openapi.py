# SPDX-License-Identifier: MIT
"""The description of the API: where it is, and that it is whole."""

from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from service import __version__
from service.http.error_responses import STATUS_BY_ERROR
from tests.conftest import StartApp
from tests.running import App


async def test_is_served_without_a_token_and_accepted_by_an_independent_validator(app: App) -> None:
    response = await app.client.get("/openapi.json")

    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    document = response.json()
    assert document["openapi"].startswith("3.1.")
    assert document["info"]["version"] == __version__
    OpenAPIV31SpecValidator(document).validate()


@pytest.mark.parametrize(("root_path", "url"), [(None, "/"), ("/gym/v1", "/gym/v1")])
async def test_names_the_path_below_which_a_proxy_publishes_it(
    start_app: StartApp, root_path: str | None, url: str
) -> None:
    app = await start_app(root_path=root_path)

    document = (await app.client.get(f"{root_path or ''}/openapi.json")).json()

    assert document["servers"] == [{"url": url}]
    assert "/sessions/{sessionId}/fail" in document["paths"]


async def test_has_an_example_of_every_error_with_its_status(app: App) -> None:
    document = (await app.client.get("/openapi.json")).json()

    found = {
        (int(status), example["value"]["error"]["code"])
        for status, response in _responses(document)
        for example in _examples(response)
        if "error" in example["value"]
    }
    unrouted = {(404, "NOT_FOUND"), (405, "METHOD_NOT_ALLOWED")}
    assert found | unrouted == {
        (int(status), kind.code) for kind, status in STATUS_BY_ERROR.items()
    }


def _responses(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    operations = [each for path in document["paths"].values() for each in path.values()]
    return [item for each in operations for item in each["responses"].items()]


def _examples(response: dict[str, Any]) -> list[dict[str, Any]]:
    content: dict[str, Any] = response.get("content", {}).get("application/json", {})
    return list(content.get("examples", {}).values())

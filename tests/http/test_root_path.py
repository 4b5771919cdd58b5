# SPDX-License-Identifier: MIT
"""The API below a path, behind a proxy that strips it and behind one that passes it on."""

from uuid import uuid4

import httpx2
import pytest

from tests.conftest import StartApp
from tests.http.responses import error_of
from tests.running import App

ROOT_PATHS = ["/v1", "/gym/v1", "/sessions", "/livez", "/a%20b/%C5%BCar", "/v1;a=b"]

of_every_proxy = pytest.mark.parametrize("is_passed_on", [False, True], ids=["strips", "keeps"])


class Proxied:
    """A client before a proxy that strips the root path, or passes it on."""

    def __init__(self, app: App, root_path: str, *, is_passed_on: bool) -> None:
        self._app = app
        self._root_path = root_path
        self._is_passed_on = is_passed_on
        self.user_id = uuid4()

    async def call(self, method: str, path: str) -> httpx2.Response:
        assert path.startswith(f"{self._root_path}/")
        path = path if self._is_passed_on else path.removeprefix(self._root_path)
        return await self._app.call(self.user_id, method, path)


@pytest.mark.parametrize("root_path", ROOT_PATHS)
@of_every_proxy
async def test_links_begin_with_the_root_path_and_lead_back(
    start_app: StartApp, root_path: str, is_passed_on: bool
) -> None:
    app = await start_app(root_path=root_path)
    client = Proxied(app, root_path, is_passed_on=is_passed_on)

    planned = await client.call("POST", f"{root_path}/sessions")
    link = planned.headers["Location"]
    read = await client.call("GET", link)
    started = await client.call("POST", f"{link}/start")
    failed = await client.call("POST", f"{link}/fail")
    history = await client.call("GET", f"{link}/events")
    listed = await client.call("GET", f"{root_path}/sessions")

    assert [each.status_code for each in (planned, started, failed)] == [201, 200, 200]
    assert link.startswith(f"{root_path}/sessions/")
    assert {each.headers["Content-Location"] for each in (planned, started, failed)} == {link}
    assert read.content == planned.content
    assert len(history.json()["data"]["events"]) == 3
    [session] = listed.json()["data"]["sessions"]
    assert link.endswith(session["id"])


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/v1/livez", "/v1/readyz"])
async def test_health_checks_need_no_root_path(start_app: StartApp, path: str) -> None:
    app = await start_app(root_path="/v1")

    assert (await app.client.get(path)).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/v1",
        "/v1/",
        "/v1/nowhere",
        "/v1/sessions/",
        "/v10/sessions",
        "/v1sessions",
        "/v2/sessions",
        "/v1/v1/sessions",
        "/V1/sessions",
        "//v1/sessions",
    ],
)
async def test_returns_404_for_another_path(start_app: StartApp, path: str) -> None:
    app = await start_app(root_path="/v1")

    response = await app.client.get(httpx2.URL(app.url).copy_with(raw_path=path.encode()))

    assert (response.status_code, error_of(response)["code"]) == (404, "NOT_FOUND")


async def test_returns_405_below_the_root_path(start_app: StartApp) -> None:
    app = await start_app(root_path="/v1")

    response = await app.client.delete("/v1/sessions")

    assert (response.status_code, response.headers["Allow"]) == (405, "GET, HEAD, POST")


async def test_a_replay_has_the_same_links(start_app: StartApp) -> None:
    app, user_id = await start_app(root_path="/v1"), uuid4()
    key = {"Idempotency-Key": "tap-1"}

    first = await app.call(user_id, "POST", "/sessions", headers=key)
    again = await app.call(user_id, "POST", "/v1/sessions", headers=key)

    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Location"] == first.headers["Location"]
    assert first.headers["Location"].startswith("/v1/sessions/")


async def test_without_a_root_path_links_are_those_of_the_service(app: App) -> None:
    response = await app.call(uuid4(), "POST", "/sessions")

    assert response.headers["Location"].startswith("/sessions/")
    assert (await app.client.get("/v1/livez")).status_code == 404

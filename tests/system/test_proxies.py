# SPDX-License-Identifier: MIT
"""Proxies in the environment: never for this machine, else used, or refused in one sentence."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.builders import SECRET, bearer
from tests.conformance import HELD
from tests.conftest import StartApp
from tests.http.issuer import an_es256_key, an_issuer
from tests.running import NO_AUTHORITIES, TestDatabase, serving, test_settings
from tests.system.processes import (
    PATIENCE_SECONDS,
    finished,
    free_port,
    listening_url,
    serve_environment,
    started,
)

KEY = an_es256_key("autumn")
SIGNED = {"SERVICE_JWT_SECRET": SECRET}
PASSWORD = "whistle"

UNUSABLE = pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALL_PROXY", f"socks5://coach:{PASSWORD}@127.0.0.1:1080"),
        ("http_proxy", f"http://coach:[{PASSWORD}]@127.0.0.1:3128"),
    ],
)
"""tests/unit/test_proxies.py has more of them."""


@dataclass
class Proxy:
    """A proxy that answers the requests for any host by this app."""

    app: ASGIApp
    url: str = ""
    logins: list[str | None] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.logins.append(Headers(scope=scope).get("proxy-authorization"))
        await self.app(scope, receive, send)


@asynccontextmanager
async def a_proxy(app: ASGIApp) -> AsyncIterator[Proxy]:
    proxy = Proxy(app)
    settings = test_settings(database_url="postgresql://unused/none")
    async with serving(Starlette(routes=[Mount("/", proxy)]), settings) as proxy.url:
        yield proxy


@UNUSABLE
async def test_try_reaches_this_machine_whatever_the_proxies_are(
    tmp_path: Path, start_app: StartApp, variable: str, value: str
) -> None:
    app = await start_app()
    arguments = ["try", "--url", app.url, "--data", str(tmp_path)]

    played = await finished(*arguments, environment=SIGNED | {variable: value})

    assert (played.code, played.err) == (0, "")


@UNUSABLE
async def test_try_refuses_a_proxy_that_cannot_be_used(
    tmp_path: Path, variable: str, value: str
) -> None:
    arguments = ["try", "--url", "http://gym.example", "--data", str(tmp_path)]

    refused = await finished(*arguments, environment=SIGNED | {variable: value})

    assert refused.code == 2
    assert refused.err.startswith(f"{variable} ")
    assert len(refused.err.splitlines()) == 1
    assert PASSWORD not in refused.err


async def test_try_names_the_proxy_that_cannot_be_reached(tmp_path: Path) -> None:
    environment = SIGNED | {"HTTP_PROXY": f"http://coach:{PASSWORD}@127.0.0.1:{free_port()}"}
    arguments = ["try", "--url", "http://gym.example", "--data", str(tmp_path)]

    refused = await finished(*arguments, environment=environment)

    assert refused.code == 1
    assert refused.err == (
        "http://gym.example cannot be reached through the proxy that HTTP_PROXY names:"
        " Connection refused.\n"
    )


@UNUSABLE
async def test_serve_fetches_the_keys_of_this_machine_whatever_the_proxies_are(
    database: TestDatabase, variable: str, value: str
) -> None:
    async with an_issuer(KEY) as issuer:
        environment = serve_environment(database.api_url, jwks_url=issuer.url)

        assert await _status_of_a_read(environment | {variable: value}) == 404


@UNUSABLE
async def test_serve_refuses_a_proxy_that_cannot_be_used(variable: str, value: str) -> None:
    environment = serve_environment(
        "postgresql://coach@gym/training", jwks_url="http://issuer.example/keys"
    )

    refused = await finished("serve", environment=environment | {variable: value})

    assert refused.code == 2
    assert refused.out == ""
    assert refused.err.startswith(f"{variable} ")
    assert len(refused.err.splitlines()) == 1
    assert PASSWORD not in refused.err


async def test_serve_fetches_the_keys_of_others_through_the_proxy(database: TestDatabase) -> None:
    """A second variable, which is not for this URL, may be unusable."""
    environment = serve_environment(
        database.api_url, jwks_url="http://issuer.example/.well-known/jwks.json"
    )
    async with an_issuer(KEY) as issuer, a_proxy(issuer) as proxy:
        environment["HTTP_PROXY"] = proxy.url.replace("://", "://coach:p%40ss@")
        environment["ALL_PROXY"] = "socks5://127.0.0.1:1080"

        assert await _status_of_a_read(environment) == 404

    assert proxy.logins == ["Basic Y29hY2g6cEBzcw=="]  # coach:p@ss


async def _status_of_a_read(environment: dict[str, str]) -> int:
    """The status for a session that is not there: 404 if the key set could be fetched."""
    async with (
        started("serve", environment=environment) as process,
        httpx2.AsyncClient(
            base_url=await listening_url(process),
            timeout=PATIENCE_SECONDS,
            verify=NO_AUTHORITIES,
            event_hooks=HELD,
        ) as client,
    ):
        answer = await client.get(f"/sessions/{uuid4()}", headers=bearer(KEY.token()))
        return answer.status_code

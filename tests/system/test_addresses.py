# SPDX-License-Identifier: MIT
"""SERVICE_HOST and SERVICE_PORT: where the service is reached, and where its health check asks."""

import asyncio
import socket
import sys
from collections.abc import Mapping

import pytest

from service.bootstrap import health_check, listening
from service.bootstrap.settings import Settings
from tests.running import eventually
from tests.system.compose import HEALTH_CHECK, IMAGE_ENVIRONMENT
from tests.system.processes import (
    Finished,
    finished,
    free_port,
    listening_url,
    serve_environment,
    started,
)

DATABASE = "postgresql://nobody@127.0.0.1:1/nothing"
IPV4, IPV6 = "127.0.0.1", "::1"


def _has_ipv6() -> bool:
    with socket.socket(socket.AF_INET6) as listener:
        try:
            listener.bind((IPV6, 0))
        except OSError:
            return False
        return True


REACHED_BY = {"127.0.0.1": {IPV4}, "0.0.0.0": {IPV4}, "localhost": {IPV4}}  # noqa: S104  the case
if socket.has_ipv6 and _has_ipv6():
    REACHED_BY |= {"::1": {IPV6}, "::": {IPV4, IPV6}}
    LOCALHOST = {place[0] for *_, place in socket.getaddrinfo("localhost", None)}
    REACHED_BY["localhost"] = {str(address) for address in LOCALHOST}


@pytest.mark.parametrize("host", REACHED_BY)
async def test_listens_where_the_host_says_and_the_health_check_finds_it(host: str) -> None:
    environment = _environment(host)
    async with started("serve", environment=environment) as process:
        await process.line("Uvicorn running on")

        assert await _reached(environment) == REACHED_BY[host]
        assert (await _health(environment)).code == 0


async def test_several_workers_listen_at_the_same_addresses() -> None:
    host = list(REACHED_BY)[-1]
    environment = _environment(host) | {"SERVICE_WORKERS": "2"}
    async with started("serve", environment=environment) as process:
        await listening_url(process, workers=2)

        async def reaches_all() -> bool:  # a worker has started before it listens
            return await _reached(environment) >= REACHED_BY[host]

        await eventually(reaches_all)
        assert await _reached(environment) == REACHED_BY[host]
        assert (await _health(environment)).code == 0


def test_all_addresses_of_a_name_get_the_same_free_port(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, address) for address in ("127.0.0.1", "127.0.0.2", "192.0.2.1")]
    answer = [(family, socket.SOCK_STREAM, 6, "", (place, 0)) for family, place in found]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments, **_options: answer)

    sockets = listening.bind("gym", 0)
    try:
        places = [each.getsockname() for each in sockets]
    finally:
        listening.close(sockets)

    assert [place[0] for place in places] == ["127.0.0.1", "127.0.0.2"]  # 192.0.2.1 is elsewhere
    assert len({place[1] for place in places}) == 1


async def test_names_a_host_that_does_not_exist() -> None:
    done = await finished("serve", environment=_environment("gym.invalid"))

    assert done.code not in (0, 2)
    assert '"host": "gym.invalid"' in done.out
    assert "Traceback" not in done.out + done.err


async def test_the_health_check_fails_where_nothing_listens() -> None:
    done = await _health(_environment("::"))

    assert done.code == 1
    assert "does not answer" in done.out


async def test_the_health_check_fails_when_the_service_stands_still() -> None:
    """A server that accepts the connection and answers nothing; the time limit ends the check."""
    with socket.create_server((IPV4, 0)) as silent:
        environment = {"SERVICE_PORT": str(silent.getsockname()[1])}
        done = await _health(environment)

    assert done.code == 1


async def test_the_health_check_ignores_proxies() -> None:
    proxies = {"HTTP_PROXY": "http://127.0.0.1:1", "ALL_PROXY": "socks5://127.0.0.1:1"}
    environment = _environment(IPV4)
    async with started("serve", environment=environment) as process:
        await process.line("Uvicorn running on")

        assert (await _health(environment | proxies)).code == 0


@pytest.mark.parametrize("empty", [{}, {"SERVICE_HOST": "", "SERVICE_PORT": ""}])
def test_the_health_check_has_the_defaults_of_the_settings(
    monkeypatch: pytest.MonkeyPatch, empty: dict[str, str]
) -> None:
    for name in ("SERVICE_HOST", "SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in empty.items():
        monkeypatch.setenv(name, value)

    fields = Settings.model_fields
    assert health_check.address() == (fields["host"].default, fields["port"].default)


@pytest.mark.parametrize("host", ["", "127.0.0.1", "0.0.0.0"])  # noqa: S104  not to listen
def test_the_health_check_of_the_relay_asks_the_port_of_its_metrics(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("SERVICE_METRICS_HOST", host)
    monkeypatch.setenv("SERVICE_METRICS_PORT", "9464")

    assert health_check.relay_address() == (IPV4, 9464)


async def test_the_health_check_of_a_relay_without_metrics_fails() -> None:
    done = await _health({"SERVICE_METRICS_HOST": IPV4}, "relay")

    assert done.code == 1
    assert "http://127.0.0.1:0/readyz does not answer" in done.out


def _environment(host: str) -> dict[str, str]:
    return serve_environment(DATABASE, host=host, port=str(free_port()))


async def _health(environment: Mapping[str, str], *more: str) -> Finished:
    """Runs the health check of the image with this environment beside the image's own."""
    _, *arguments = HEALTH_CHECK
    return await finished(
        *arguments,
        *more,
        command=[sys.executable],
        environment=IMAGE_ENVIRONMENT | dict(environment),
    )


async def _reached(environment: Mapping[str, str]) -> set[str]:
    port = int(environment["SERVICE_PORT"])
    return {address for address in (IPV4, IPV6) if await _accepts(address, port)}


async def _accepts(address: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(address, port)
    except OSError:
        return False
    writer.close()
    return True

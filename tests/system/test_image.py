# SPDX-License-Identifier: MIT
"""Dockerfile and deploy/kubernetes, run without Docker: files, packages, user, commands, probes."""

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager

import httpx2
import psutil
import pytest

from tests.builders import SECRET
from tests.nats_server import a_nats_server
from tests.running import NO_AUTHORITIES, TestDatabase, eventually
from tests.system.compose import HEALTH_CHECK, the
from tests.system.image import Image, an_image
from tests.system.kubernetes import container, plain_environment, probes, secret_environment
from tests.system.processes import PATIENCE_SECONDS, Process, free_port, listening_url

ENTRYPOINT = json.loads(the("ENTRYPOINT"))


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    with an_image() as image:
        yield image


def test_the_image_has_the_files_of_the_service_and_no_compiled_code(image: Image) -> None:
    files = [path.relative_to(image.app) for path in image.app.rglob("*") if path.is_file()]

    assert {path.parts[0] for path in files} == {
        "alembic.ini",
        "migrations",
        "requirements",
        "service",
    }
    assert not [path for path in files if path.suffix == ".pyc"]


async def test_the_migration_runs_and_may_be_repeated(
    image: Image, empty_database: TestDatabase
) -> None:
    environment = _environment("migration", database_url=empty_database.url)
    for _ in range(2):
        command = [*ENTRYPOINT, "migrate"]  # the logins of the manifest are not on this server
        async with image.started(*command, environment=environment) as process:
            assert await process.end() == 0, process.output

    assert await empty_database.value("SELECT count(*) FROM sessions") == 0


async def test_the_api_answers_its_probes_as_the_images_user_and_ends_by_sigterm(
    image: Image, database: TestDatabase
) -> None:
    environment = _environment("api", database_url=database.api_url, jwt_secret=SECRET)
    environment["SERVICE_SHUTDOWN_NOTICE_SECONDS"] = "0"
    async with _running(image, "api", environment) as process:
        url = await listening_url(process)
        answers = await _answers(url, probes("api"))
        metrics_url = f"http://127.0.0.1:{environment['SERVICE_METRICS_PORT']}"
        metrics = await _answers(metrics_url, {"metrics": {"path": "/metrics"}})
        health = await _health_check(image, url)
        user = psutil.Process(process.running.pid).uids().effective
        process.running.terminate()
        code = await process.end()

    assert answers == {"startupProbe": 200, "livenessProbe": 200, "readinessProbe": 200}
    assert metrics == {"metrics": 200}
    assert health == 0
    assert user == image.user or image.user is None
    assert code == 0


async def test_the_relay_answers_its_probes_as_the_images_user_and_ends_by_sigterm(
    image: Image, database: TestDatabase
) -> None:
    async with a_nats_server() as broker:
        environment = _environment("relay", database_url=database.relay_url, nats_url=broker.url)
        url = f"http://127.0.0.1:{environment['SERVICE_METRICS_PORT']}"
        async with _running(image, "relay", environment) as process:
            await process.line('"active"')
            await eventually(lambda: _is_ready(url))
            answers = await _answers(url, probes("relay"))
            process.running.terminate()
            code = await process.end()

    assert answers == {"startupProbe": 200, "livenessProbe": 200, "readinessProbe": 200}
    assert code == 0


async def test_the_audit_ends_with_1_as_the_images_user_if_the_stream_is_missing(
    image: Image, database: TestDatabase
) -> None:
    codes = []
    async with a_nats_server() as broker:
        environment = _environment("audit", database_url=database.relay_url, nats_url=broker.url)
        await broker.make_stream()
        for _ in range(2):
            async with _running(image, "audit", environment) as process:
                codes.append(await process.end())
            if await broker.has_stream():
                await broker.delete_stream()

    assert codes == [0, 1]


def _environment(name: str, **secrets: str) -> dict[str, str]:
    """As the manifest gives it, with these keys of its secret, and ports of this machine."""
    keys = {
        variable: key["key"].replace("-", "_") for variable, key in secret_environment(name).items()
    }
    plain = plain_environment(name)
    here = {variable: "127.0.0.1" for variable in plain if variable.endswith("_HOST")}
    free = {variable: str(free_port()) for variable in plain if variable.endswith("_PORT")}
    given = {variable: secrets[key] for variable, key in keys.items() if key in secrets}
    return {**plain, **here, **free, **given}


def _running(
    image: Image, name: str, environment: Mapping[str, str]
) -> AbstractAsyncContextManager[Process]:
    return image.started(*ENTRYPOINT, *container(name)["args"], environment=environment)


async def _answers(url: str, probes: Mapping[str, Mapping[str, str]]) -> dict[str, int]:
    async with httpx2.AsyncClient(
        base_url=url, timeout=PATIENCE_SECONDS, verify=NO_AUTHORITIES
    ) as client:
        return {
            name: (await client.get(probe["path"])).status_code for name, probe in probes.items()
        }


async def _is_ready(url: str) -> bool:
    return set((await _answers(url, probes("relay"))).values()) == {200}


async def _health_check(image: Image, url: str) -> int:
    environment = {"SERVICE_PORT": url.rpartition(":")[2]}
    async with image.started(*HEALTH_CHECK, environment=environment) as process:
        return await process.end()

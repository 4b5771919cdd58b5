# SPDX-License-Identifier: MIT
"""A real Prometheus, with the rules that are deployed, and its answers."""

import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import orjson

from tests.monitoring.deployed import RULE_FILES
from tests.optional_programs import PROMETHEUS
from tests.running import NO_AUTHORITIES, eventually
from tests.system.processes import free_port, started

Targets = Mapping[str, Sequence[str]]
"""The hosts and ports of each scrape job."""

Series = dict[str, Any]
"""`metric`: its labels; `value` or `values`: times and values."""


class Prometheus:
    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client

    async def query(self, expression: str) -> list[Series]:
        """The result now. Raises AssertionError if the query fails."""
        return await self._result("/query", query=expression)

    async def query_range(
        self, expression: str, start: float, end: float, step: float
    ) -> list[Series]:
        return await self._result("/query_range", query=expression, start=start, end=end, step=step)

    async def firing(self) -> set[str]:
        found = await self.query('ALERTS{alertstate="firing"}')
        return {series["metric"]["alertname"] for series in found}

    async def down(self) -> list[str]:
        """The errors of the targets that cannot be read."""
        answer = await self._client.get("/targets")
        targets = answer.json()["data"]["activeTargets"]
        return [
            f"{target['scrapeUrl']}: {target['lastError']}"
            for target in targets
            if target["health"] != "up"
        ]

    async def is_ready(self) -> bool:
        try:
            return (await self._client.get("/status/runtimeinfo")).status_code == httpx2.codes.OK
        except httpx2.TransportError:
            return False

    async def has_read_all(self) -> bool:
        return await self.down() == []

    async def _result(self, path: str, **parameters: Any) -> list[Series]:
        answer = (await self._client.post(path, data=parameters)).json()
        assert answer["status"] == "success", (answer, parameters)
        result: list[Series] = answer["data"]["result"]
        return result


@asynccontextmanager
async def a_prometheus(
    targets: Targets, *, scrape: str = "1s", evaluation: str = "1s"
) -> AsyncIterator[Prometheus]:
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="prometheus-") as home:
        place = Path(home)
        # Any JSON is YAML.
        (place / "prometheus.yml").write_bytes(
            orjson.dumps(_configuration(targets, scrape, evaluation))
        )
        options = {
            "config.file": place / "prometheus.yml",
            "storage.tsdb.path": place / "data",
            "web.listen-address": f"127.0.0.1:{port}",
            "log.level": "warn",
        }
        arguments = [f"--{name}={value}" for name, value in options.items()]
        async with (
            started(*arguments, command=[PROMETHEUS.path()]),
            httpx2.AsyncClient(
                base_url=f"http://127.0.0.1:{port}/api/v1", verify=NO_AUTHORITIES, timeout=60
            ) as client,
        ):
            prometheus = Prometheus(client)
            await eventually(prometheus.is_ready)
            yield prometheus


def _configuration(targets: Targets, scrape: str, evaluation: str) -> dict[str, Any]:
    return {
        "global": {"scrape_interval": scrape, "evaluation_interval": evaluation},
        "rule_files": [str(path) for path in RULE_FILES],
        "scrape_configs": list(_jobs(targets)),
    }


def _jobs(targets: Targets) -> Iterable[dict[str, Any]]:
    for name, hosts in targets.items():
        yield {"job_name": name, "static_configs": [{"targets": list(hosts)}]}

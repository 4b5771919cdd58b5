# SPDX-License-Identifier: MIT
"""Scrapes as Prometheus does: fetches the text of /metrics, and parses it."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from tests.running import NO_AUTHORITIES, TRIES
from tests.system.processes import PATIENCE_SECONDS, Process


@dataclass(frozen=True)
class Scrape:
    """`types`: of the families, by name; `samples`: the values by name and labels."""

    types: dict[str, str]
    helps: dict[str, str]
    samples: dict[str, dict[frozenset[tuple[str, str]], float]]

    def __call__(self, name: str, **labels: str) -> float:
        """The value of one sample."""
        return self.samples[name][frozenset(labels.items())]

    def by(self, name: str, *labels: str) -> dict[Any, float]:
        """The values that are not 0, by these labels, of which there are no others."""
        found = {}
        for sample, value in self.samples.get(name, {}).items():
            values = dict(sample)
            assert set(values) == set(labels)
            if value:
                key = tuple(values[each] for each in labels)
                found[key if len(labels) > 1 else key[0]] = value
        return found


def parse(text: str) -> Scrape:
    types: dict[str, str] = {}
    helps: dict[str, str] = {}
    samples: dict[str, dict[frozenset[tuple[str, str]], float]] = {}
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        types[name], helps[name] = family.type, family.documentation
        for each in family.samples:
            samples.setdefault(each.name, {})[frozenset(each.labels.items())] = each.value
    return Scrape(types, helps, samples)


@dataclass(frozen=True)
class Metrics:
    url: str

    @classmethod
    async def of(cls, process: Process) -> "Metrics":
        line = json.loads(await process.line('"event": "metrics"'))
        return cls(line["url"])

    async def scrape(self) -> Scrape:
        async with httpx2.AsyncClient(
            timeout=PATIENCE_SECONDS, verify=NO_AUTHORITIES, trust_env=False
        ) as client:
            answer = await client.get(f"{self.url}/metrics")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        return parse(answer.text)

    async def until(self, condition: Callable[[Scrape], Any]) -> Scrape:
        """Scrapes until it is true: an answer reaches its client before it is counted."""
        for _ in range(TRIES):
            scrape = await self.scrape()
            if condition(scrape):
                return scrape
            await asyncio.sleep(0.01)
        raise AssertionError(scrape.samples)

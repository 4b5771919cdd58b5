# SPDX-License-Identifier: MIT
"""Tracing that is off, or that cannot be switched on."""

import json
import sys

import pytest

from service.bootstrap.settings import RelaySettings, Settings, load
from service.bootstrap.settings.shared import TracingSettings
from service.bootstrap.tracing import exporting_provider, traced_publisher
from tests.system.processes import finished, serve_environment
from tests.tracing.test_publishing import Publisher

IMPORTED = """
import json, sys
from service.bootstrap import relay, relay_commands, server
from service.bootstrap.api import create_app
from service.bootstrap.settings import Settings, load
create_app(load(Settings))
print(json.dumps([name for name in sys.modules if name.startswith("opentelemetry")]))
"""
WITHOUT = """
import sys
sys.modules["{missing}"] = None
from service.cli.main import main
sys.exit(main())
"""
NOT_INSTALLED = (
    "SERVICE_TRACING is wrong: it needs OpenTelemetry, which is not installed;"
    " requirements/otel.txt has it."
)


async def test_imports_nothing_of_opentelemetry() -> None:
    process = await finished(
        command=[sys.executable, "-c", IMPORTED],
        environment=serve_environment("postgresql://127.0.0.1:1/training"),
    )

    assert json.loads(process.out) == [], process.err


async def test_leaves_the_publisher_as_it_is() -> None:
    settings, publisher = load(TracingSettings), Publisher()

    async with traced_publisher(settings, publisher) as same:
        assert same is publisher
    assert exporting_provider(settings, "training-sessions") is None


@pytest.mark.parametrize(
    ("command", "missing"),
    [("serve", "opentelemetry"), ("relay", "opentelemetry.exporter.otlp.proto.http")],
)
async def test_a_command_that_lacks_opentelemetry_ends_with_a_sentence(
    command: str, missing: str
) -> None:
    url = "postgresql://127.0.0.1:1/training"
    process = await finished(
        command,
        command=[sys.executable, "-c", WITHOUT.format(missing=missing)],
        environment=serve_environment(url, tracing="true", nats_url="nats://127.0.0.1:1"),
    )

    assert (process.code, process.err) == (2, f"{NOT_INSTALLED}\n")


@pytest.mark.parametrize("kind", [Settings, RelaySettings])
def test_is_a_setting_of_the_api_and_of_the_relay(kind: type[Settings | RelaySettings]) -> None:
    assert kind.model_fields["tracing"].default is False

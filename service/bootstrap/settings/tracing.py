# SPDX-License-Identifier: MIT
"""Checks that OpenTelemetry, an extra, is installed if the settings ask for it."""

from importlib.util import find_spec

NEEDED = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")


def check_tracing(value: bool) -> bool:  # noqa: FBT001  pydantic passes the value alone
    if value and not all(_is_installed(name) for name in NEEDED):
        raise ValueError(
            "it needs OpenTelemetry, which is not installed; requirements/otel.txt has it"
        )
    return value


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # a package around it is missing
        return False

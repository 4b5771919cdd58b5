# SPDX-License-Identifier: MIT
"""Settings from environment variables, read once when a process starts."""

from service.bootstrap.settings.api import Settings
from service.bootstrap.settings.environment import PREFIX
from service.bootstrap.settings.loading import TESTS_PREFIX, WrongSettings, all_settings, load
from service.bootstrap.settings.relay import RelaySettings
from service.bootstrap.settings.shared import (
    DatabaseSettings,
    LogSettings,
    MetricsSettings,
    PathSettings,
    TokenSettings,
    TracingSettings,
)

__all__ = [
    "PREFIX",
    "TESTS_PREFIX",
    "DatabaseSettings",
    "LogSettings",
    "MetricsSettings",
    "PathSettings",
    "RelaySettings",
    "Settings",
    "TokenSettings",
    "TracingSettings",
    "WrongSettings",
    "all_settings",
    "load",
]

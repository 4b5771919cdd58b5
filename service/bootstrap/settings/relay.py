# SPDX-License-Identifier: MIT
"""Settings of the relay."""

from typing import Annotated

from pydantic import AfterValidator, SecretStr

from service.bootstrap.settings.environment import Seconds, setting
from service.bootstrap.settings.shared import (
    DatabaseSettings,
    LogSettings,
    MetricsSettings,
    TracingSettings,
)
from service.bootstrap.settings.urls import check_nats_urls


class RelaySettings(DatabaseSettings, LogSettings, MetricsSettings, TracingSettings):
    """Settings of `relay`."""

    nats_url: Annotated[SecretStr, AfterValidator(check_nats_urls)] = setting(
        ..., "URL of NATS, with the login; several URLs are separated by commas."
    )
    nats_stream: str = setting(
        "TRAINING_SESSIONS", "Name of the stream for the events.", pattern=r"^[A-Za-z0-9_-]{1,255}$"
    )
    nats_stream_replicas: int = setting(
        1, "Least number of servers that store the stream.", ge=1, le=5
    )
    nats_duplicate_window_seconds: float = setting(
        120.0, "Least time for which the stream remembers event ids.", ge=1, le=86_400
    )
    nats_timeout_seconds: Seconds = setting(
        5.0, "Time limit for an acknowledgement, and for leaving an unresponsive broker."
    )
    events_source: str = setting(
        "/training-sessions",
        "`source` of the events, a URI reference.",
        pattern=r"^[!#$&-;=?-Z_a-z~]{1,255}$",
    )

    relay_batch_size: int = setting(
        1000, "Most events that a turn takes from the queue.", ge=1, le=1000
    )
    relay_publishes_in_flight: int = setting(
        256, "Most events, of different sessions, that wait for acknowledgement.", ge=1
    )
    relay_poll_min_seconds: float = setting(
        0.05, "Pause after a turn that found a few events.", gt=0, le=10
    )
    relay_poll_max_seconds: float = setting(
        0.25,
        "Pause after a turn that found none or many, and time to wait for a turn.",
        gt=0,
        le=10,
    )
    relay_lease_seconds: float = setting(
        1.0, "Time after which another relay takes over from a silent one.", gt=0, le=60
    )
    relay_statement_timeout_seconds: Seconds = setting(
        5.0, "Time limit for a statement of the relay."
    )

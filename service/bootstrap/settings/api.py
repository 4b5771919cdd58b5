# SPDX-License-Identifier: MIT
"""Settings of the API."""

from typing import Annotated, Self

from pydantic import AfterValidator, SecretStr, model_validator

from service.bootstrap.origins import check_origins, parse_origins
from service.bootstrap.pseudonyms import check_pseudonym_key
from service.bootstrap.settings.environment import Seconds, setting
from service.bootstrap.settings.shared import (
    DatabaseSettings,
    LogSettings,
    MetricsSettings,
    PathSettings,
    TokenSettings,
    TracingSettings,
)
from service.bootstrap.settings.urls import check_http_url


class Settings(
    DatabaseSettings, TokenSettings, PathSettings, LogSettings, MetricsSettings, TracingSettings
):
    """Settings of `serve`."""

    jwks_url: Annotated[SecretStr, AfterValidator(check_http_url)] | None = setting(
        None, "URL of the JSON Web Key Set that verifies ES256 and RS256 tokens."
    )
    jwks_lifetime_seconds: float = setting(600.0, "Lifetime of fetched keys.", gt=0, le=600)
    jwks_outage_seconds: float = setting(
        3600.0, "Extra lifetime of fetched keys while their set cannot be fetched.", ge=0, le=86_400
    )
    jwks_cooldown_seconds: Seconds = setting(
        10.0, "Pause between fetches for unknown keys, and after a failed fetch."
    )
    jwks_timeout_seconds: Seconds = setting(3.0, "Time limit for a fetch of the key set.")

    database_pool_size: int = setting(10, "Database connections of each worker.", ge=5, le=1000)
    database_pool_timeout_seconds: Seconds = setting(5.0, "Time limit for a free connection.")
    database_lock_timeout_seconds: Seconds = setting(2.0, "Time limit for a lock.")
    database_statement_timeout_seconds: Seconds = setting(5.0, "Time limit for a statement.")
    database_idle_in_transaction_timeout_seconds: Seconds = setting(
        10.0, "Time limit for a transaction that waits for its next statement."
    )

    groups_in_flight: int = setting(
        1,
        "Groups of commands that run at the same time in each worker; as many groups of reads.",
        ge=1,
        le=100,
    )
    group_size_max: int = setting(
        256, "Most commands or reads that share a transaction.", ge=1, le=10_000
    )
    queue_max: int = setting(
        5000, "Most commands that wait in each worker; as many reads.", ge=1, le=1_000_000
    )
    user_queue_max: int = setting(
        32, "Most commands of one user that wait in each worker.", ge=1, le=1_000_000
    )
    command_timeout_seconds: Seconds = setting(5.0, "Time limit for a command or a read to begin.")

    host: str = setting("127.0.0.1", "Address or host name to listen on.")
    port: int = setting(8000, "Port to listen on.", ge=0, le=65_535)
    docs: bool = setting(
        True, "Publishes the description of the API, `/openapi.json`, and its page, `/docs`."
    )
    cors_allowed_origins: Annotated[str, AfterValidator(check_origins)] | None = setting(
        None,
        "Origins whose pages may call the API, separated by commas, such as"
        " `https://app.example.com`; `*` allows all.",
    )
    server_timing: bool = setting(
        False, "Answers say where their time went, in the header `Server-Timing`."
    )
    log_user_key: Annotated[SecretStr, AfterValidator(check_pseudonym_key)] | None = setting(
        None, "Key of the names that users get in the log; if not set, the log names no user."
    )
    workers: int = setting(1, "Worker processes.", ge=1, le=256)
    worker_health_timeout_seconds: int = setting(
        30, "Time after which one of several workers that gives no sign is replaced.", ge=1, le=3600
    )
    connections_max: int = setting(
        4096, "Most connections of clients to each worker.", ge=1, le=1_000_000
    )
    first_byte_timeout_seconds: Seconds = setting(
        10.0, "Time limit for a new connection to send anything."
    )
    head_timeout_seconds: Seconds = setting(
        10.0, "Time limit for the request line and headers, from their first byte."
    )
    body_timeout_seconds: Seconds = setting(
        20.0, "Time limit for the body, from the end of the headers."
    )
    send_timeout_seconds: Seconds = setting(
        20.0, "Time limit for a client to read more of an answer."
    )
    keep_alive_seconds: Seconds = setting(
        75.0, "Time for which a connection stays open between two requests."
    )
    shutdown_notice_seconds: float = setting(
        0.0,
        "Time after SIGTERM in which the service answers but is not ready, for balancers.",
        ge=0,
        le=3600,
    )
    shutdown_timeout_seconds: int = setting(
        20, "Time limit for running requests at shutdown.", ge=1, le=3600
    )

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        return parse_origins(self.cors_allowed_origins) if self.cors_allowed_origins else ()

    @model_validator(mode="after")
    def _has_a_key(self) -> Self:
        if self.jwt_secret is None and self.jwks_url is None:
            raise ValueError("SERVICE_JWT_SECRET or SERVICE_JWKS_URL must be set, or both")
        return self

    @model_validator(mode="after")
    def _timeouts_are_nested(self) -> Self:
        if not (
            self.database_lock_timeout_seconds
            < self.database_statement_timeout_seconds
            < self.database_idle_in_transaction_timeout_seconds
        ):
            raise ValueError(
                "SERVICE_DATABASE_LOCK_TIMEOUT_SECONDS must be less than"
                " SERVICE_DATABASE_STATEMENT_TIMEOUT_SECONDS, and that less than"
                " SERVICE_DATABASE_IDLE_IN_TRANSACTION_TIMEOUT_SECONDS"
            )
        return self

    @model_validator(mode="after")
    def _reads_have_connections(self) -> Self:
        least = 2 * self.groups_in_flight + 3
        if self.database_pool_size < least:
            raise ValueError(
                "SERVICE_DATABASE_POOL_SIZE must be at least 2 x SERVICE_GROUPS_IN_FLIGHT + 3:"
                " each group of commands and each group of reads needs a connection, their"
                " retries one each, and readiness one"
            )
        return self

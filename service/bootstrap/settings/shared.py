# SPDX-License-Identifier: MIT
"""Settings that several commands read."""

from typing import Annotated

from pydantic import AfterValidator, SecretStr

from service.bootstrap.poolers import PoolerDoubt, doubt_pooler
from service.bootstrap.root_path import check_root_path
from service.bootstrap.settings.environment import Environment, Seconds, setting
from service.bootstrap.settings.tracing import check_tracing
from service.bootstrap.settings.urls import check_database_url
from service.bootstrap.token_settings import check_ends, check_secret
from service.persistence.database_url import parse_database_url


class DatabaseSettings(Environment):
    database_url: Annotated[SecretStr, AfterValidator(check_database_url)] = setting(
        ..., "URL of PostgreSQL, with the login; parameters such as `sslmode` belong here."
    )
    database_connect_timeout_seconds: Seconds = setting(5.0, "Time limit for a new connection.")
    database_transaction_pooler: bool = setting(
        False,
        "True if the URL leads to a pooler in transaction mode; prepared statements are then off.",
    )

    def ignored(self) -> tuple[str, ...]:
        """Names of parameters of the URL, and of variables of libpq, that have no effect."""
        return parse_database_url(self.database_url.get_secret_value()).ignored

    def pooler_doubt(self) -> PoolerDoubt | None:
        """Why the URL seems to lead to a pooler, although the setting is not true."""
        target = parse_database_url(self.database_url.get_secret_value())
        if self.database_transaction_pooler or target.transaction_pooler:
            return None
        return doubt_pooler(target.addresses)


class LogSettings(Environment):
    log_level: str = setting(
        "info",
        "Lowest level that is logged; requests are logged at `info`.",
        pattern="^(debug|info|warning|error)$",
    )


class MetricsSettings(Environment):
    metrics_port: int | None = setting(
        None, "Port for Prometheus; if not set, there are no metrics.", ge=0, le=65_535
    )
    metrics_host: str = setting("127.0.0.1", "Address or host name to listen on for Prometheus.")


class TracingSettings(Environment):
    tracing: Annotated[bool, AfterValidator(check_tracing)] = setting(
        False, "Traces requests and events with OpenTelemetry; variables `OTEL_…` configure it."
    )


class TokenSettings(Environment):
    jwt_secret: Annotated[SecretStr, AfterValidator(check_secret)] | None = setting(
        None, "Secret that verifies HS256 tokens."
    )
    jwt_issuer: Annotated[str, AfterValidator(check_ends)] | None = setting(
        None, "Required `iss` of a token; if not set, any issuer is accepted."
    )
    jwt_audience: Annotated[str, AfterValidator(check_ends)] = setting(
        "authenticated", "Required `aud` of a token, alone or in a list."
    )


class PathSettings(Environment):
    root_path: Annotated[str, AfterValidator(check_root_path)] | None = setting(
        None, "Path below which a proxy publishes the API, such as `/v1`; links begin with it."
    )

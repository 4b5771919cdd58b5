"""Settings from environment variables, read once when a process starts."""

import difflib
import os
from collections.abc import Callable
from typing import Annotated, Any, Self, TypeVar

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.bootstrap.origins import check_origins, parse_origins
from service.bootstrap.poolers import PoolerDoubt, doubt_pooler
from service.bootstrap.root_path import check_root_path
from service.bootstrap.token_settings import check_ends, check_secret
from service.persistence.database_url import parse_database_url
from service.relay.servers import parse_servers
from service.urls import WrongUrl, parse_server_url

PREFIX = "SERVICE_"
TESTS_PREFIX = "SERVICE_TEST_"

Seconds = Annotated[float, Field(gt=0, le=3600)]


class WrongSettings(Exception):
    """One sentence for each wrong setting: its name and the reason, never its value."""


def _setting(default: Any, purpose: str, **constraints: Any) -> Any:
    return Field(default, description=purpose, **constraints)


def _is_database_url(value: SecretStr) -> SecretStr:
    url = value.get_secret_value().strip().replace("postgresql+asyncpg://", "postgresql://", 1)
    try:
        parse_database_url(url)
    except WrongUrl as exc:
        raise ValueError(str(exc)) from None
    return SecretStr(url)


def _is_http_url(value: SecretStr) -> SecretStr:
    what = "a URL that begins with https:// or http://"
    url = value.get_secret_value().strip()
    _require(url, what, parse_server_url, "https", "http")
    return SecretStr(url)


def _are_nats_urls(value: SecretStr) -> SecretStr:
    what = (
        "one or more URLs that begin with nats:// or tls://, separated by commas (%2C in a login)"
    )
    _require(value.get_secret_value(), what, parse_servers)
    return value


def _require(url: str, what: str, parse: Callable[..., object], *schemes: str) -> None:
    try:
        parse(url, *schemes)
    except WrongUrl as exc:
        raise ValueError(f"it must be {what}, but {exc}") from None


class _Environment(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )


S = TypeVar("S", bound=_Environment)


class DatabaseSettings(_Environment):
    database_url: Annotated[SecretStr, AfterValidator(_is_database_url)] = _setting(
        ..., "URL of PostgreSQL, with the login; parameters such as `sslmode` belong here."
    )
    database_connect_timeout_seconds: Seconds = _setting(5.0, "Time limit for a new connection.")
    database_transaction_pooler: bool = _setting(
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


class LogSettings(_Environment):
    log_level: str = _setting(
        "info",
        "Lowest level that is logged; requests are logged at `info`.",
        pattern="^(debug|info|warning|error)$",
    )


class TokenSettings(_Environment):
    jwt_secret: Annotated[SecretStr, AfterValidator(check_secret)] | None = _setting(
        None, "Secret that verifies HS256 tokens."
    )
    jwt_issuer: Annotated[str, AfterValidator(check_ends)] | None = _setting(
        None, "Required `iss` of a token; if not set, any issuer is accepted."
    )
    jwt_audience: Annotated[str, AfterValidator(check_ends)] = _setting(
        "authenticated", "Required `aud` of a token, alone or in a list."
    )


class PathSettings(_Environment):
    root_path: Annotated[str, AfterValidator(check_root_path)] | None = _setting(
        None, "Path below which a proxy publishes the API, such as `/v1`; links begin with it."
    )


class Settings(DatabaseSettings, TokenSettings, PathSettings, LogSettings):
    """Settings of `serve`."""

    jwks_url: Annotated[SecretStr, AfterValidator(_is_http_url)] | None = _setting(
        None, "URL of the JSON Web Key Set that verifies ES256 and RS256 tokens."
    )
    jwks_lifetime_seconds: float = _setting(600.0, "Lifetime of fetched keys.", gt=0, le=600)
    jwks_outage_seconds: float = _setting(
        3600.0, "Extra lifetime of fetched keys while their set cannot be fetched.", ge=0, le=86_400
    )
    jwks_cooldown_seconds: Seconds = _setting(
        10.0, "Pause between fetches for unknown keys, and after a failed fetch."
    )
    jwks_timeout_seconds: Seconds = _setting(3.0, "Time limit for a fetch of the key set.")

    database_pool_size: int = _setting(10, "Database connections of each worker.", ge=5, le=1000)
    database_pool_timeout_seconds: Seconds = _setting(5.0, "Time limit for a free connection.")
    database_lock_timeout_seconds: Seconds = _setting(2.0, "Time limit for a lock.")
    database_statement_timeout_seconds: Seconds = _setting(5.0, "Time limit for a statement.")
    database_idle_in_transaction_timeout_seconds: Seconds = _setting(
        10.0, "Time limit for a transaction that waits for its next statement."
    )

    groups_in_flight: int = _setting(
        1,
        "Groups of commands that run at the same time in each worker; as many groups of reads.",
        ge=1,
        le=100,
    )
    group_size_max: int = _setting(
        256, "Most commands or reads that share a transaction.", ge=1, le=10_000
    )
    queue_max: int = _setting(
        5000, "Most commands that wait in each worker; as many reads.", ge=1, le=1_000_000
    )
    user_queue_max: int = _setting(
        32, "Most commands of one user that wait in each worker.", ge=1, le=1_000_000
    )
    command_timeout_seconds: Seconds = _setting(5.0, "Time limit for a command or a read to begin.")

    host: str = _setting("127.0.0.1", "Address or host name to listen on.")
    port: int = _setting(8000, "Port to listen on.", ge=0, le=65_535)
    docs: bool = _setting(
        True, "Publishes the description of the API, `/openapi.json`, and its page, `/docs`."
    )
    cors_allowed_origins: Annotated[str, AfterValidator(check_origins)] | None = _setting(
        None,
        "Origins whose pages may call the API, separated by commas, such as"
        " `https://app.example.com`; `*` allows all.",
    )
    workers: int = _setting(1, "Worker processes.", ge=1, le=256)
    connections_max: int = _setting(
        4096, "Most connections of clients to each worker.", ge=1, le=1_000_000
    )
    first_byte_timeout_seconds: Seconds = _setting(
        10.0, "Time limit for a new connection to send anything."
    )
    head_timeout_seconds: Seconds = _setting(
        10.0, "Time limit for the request line and headers, from their first byte."
    )
    body_timeout_seconds: Seconds = _setting(
        20.0, "Time limit for the body, from the end of the headers."
    )
    send_timeout_seconds: Seconds = _setting(
        20.0, "Time limit for a client to read more of an answer."
    )
    keep_alive_seconds: Seconds = _setting(
        75.0, "Time for which a connection stays open between two requests."
    )
    shutdown_notice_seconds: float = _setting(
        0.0,
        "Time after SIGTERM in which the service answers but is not ready, for balancers.",
        ge=0,
        le=3600,
    )
    shutdown_timeout_seconds: int = _setting(
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
        least = 2 * self.groups_in_flight + 4
        if self.database_pool_size < least:
            raise ValueError(
                "SERVICE_DATABASE_POOL_SIZE must be at least 2 x SERVICE_GROUPS_IN_FLIGHT + 4:"
                " each group of commands and each group of reads needs a connection, their"
                " retries one each, lists one, and readiness one"
            )
        return self


class RelaySettings(DatabaseSettings, LogSettings):
    """Settings of `relay`."""

    nats_url: Annotated[SecretStr, AfterValidator(_are_nats_urls)] = _setting(
        ..., "URL of NATS, with the login; several URLs are separated by commas."
    )
    nats_stream: str = _setting(
        "TRAINING_SESSIONS", "Name of the stream for the events.", pattern=r"^[A-Za-z0-9_-]{1,255}$"
    )
    nats_stream_replicas: int = _setting(
        1, "Least number of servers that store the stream.", ge=1, le=5
    )
    nats_duplicate_window_seconds: float = _setting(
        120.0, "Least time for which the stream remembers event ids.", ge=1, le=86_400
    )
    nats_timeout_seconds: Seconds = _setting(5.0, "Time limit for an acknowledgement.")
    events_source: str = _setting(
        "/training-sessions",
        "`source` of the events, a URI reference.",
        pattern=r"^[!#$&-;=?-Z_a-z~]{1,255}$",
    )

    relay_batch_size: int = _setting(
        1000, "Most events that a turn takes from the queue.", ge=1, le=1000
    )
    relay_publishes_in_flight: int = _setting(
        256, "Most events, of different sessions, that wait for acknowledgement.", ge=1
    )
    relay_poll_min_seconds: float = _setting(
        0.05, "Pause after a turn that found a few events.", gt=0, le=10
    )
    relay_poll_max_seconds: float = _setting(
        0.25,
        "Pause after a turn that found none or many, and time to wait for a turn.",
        gt=0,
        le=10,
    )
    relay_lease_seconds: float = _setting(
        1.0, "Time after which another relay takes over from a silent one.", gt=0, le=60
    )
    relay_statement_timeout_seconds: Seconds = _setting(
        5.0, "Time limit for a statement of the relay."
    )


def load(kind: type[S], **given: Any) -> S:
    """Reads the settings; `given` overrides the environment. Raises WrongSettings."""
    if misspelled := _misspelled():
        raise WrongSettings("\n".join(misspelled))
    try:
        return kind(**given)
    except ValidationError as exc:
        raise WrongSettings("\n".join(_sentence(error) for error in exc.errors())) from None


def all_settings() -> dict[str, FieldInfo]:
    return Settings.model_fields | RelaySettings.model_fields


def _misspelled() -> list[str]:
    """One sentence for each variable that resembles a setting; it would have no effect."""
    known = [f"{PREFIX}{name}".upper() for name in all_settings()]
    given = [name for name in os.environ if name.startswith(PREFIX) and name not in known]
    return [
        f"{name} is not a setting; did you mean {close[0]}?"
        for name in sorted(given)
        if not name.startswith(TESTS_PREFIX)
        and (close := difflib.get_close_matches(name, known, n=1, cutoff=0.9))
    ]


def _sentence(error: ErrorDetails) -> str:
    problem = error["msg"].removeprefix("Value error, ").rstrip(".")
    if not error["loc"]:
        return f"{problem}."
    name = f"{PREFIX}{error['loc'][0]}".upper()
    if error["type"] == "missing":
        return f"{name} must be set."
    end = "" if problem.endswith("?") else "."
    return f"{name} is wrong: {problem[0].lower()}{problem[1:]}{end}"

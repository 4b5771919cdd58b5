"""Configuration by environment: read once, at the edge, then frozen."""

import difflib
import os
from typing import Annotated, Any, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "SERVICE_"
TESTS_PREFIX = "SERVICE_TEST_"
SECRET_MIN_BYTES = 32
"""The key of HS256 has at least as many bits as its hash (RFC 7518, section 3.2)."""

Seconds = Annotated[float, Field(gt=0, le=3600)]


class WrongSettings(Exception):
    """Says, a sentence each, which settings are wrong and why; never their values."""


def _setting(default: Any, purpose: str, *, unit: str = "", **constraints: Any) -> Any:
    return Field(default, description=purpose, json_schema_extra={"unit": unit}, **constraints)


def _is_database_url(value: SecretStr) -> SecretStr:
    url = value.get_secret_value().replace("postgresql+asyncpg://", "postgresql://", 1)
    if urlsplit(url).scheme not in {"postgresql", "postgres"}:
        raise ValueError("it has to be a URL that begins with postgresql://")
    if not _has_port_or_none(url):
        raise ValueError(
            "its port is no number; a password with special characters has to be percent-encoded"
        )
    return SecretStr(url)


def _has_port_or_none(url: str) -> bool:
    try:
        urlsplit(url).port  # noqa: B018  reading it is what raises
    except ValueError:
        return False
    return True


def _is_http_url(value: str) -> str:
    url = urlsplit(value)
    if url.scheme not in {"http", "https"} or not url.hostname or not _has_port_or_none(value):
        raise ValueError("it has to be a URL that begins with https:// or http://")
    return value


def _are_nats_urls(value: SecretStr) -> SecretStr:
    for each in value.get_secret_value().split(","):
        url = urlsplit(each)
        if url.scheme not in {"nats", "tls"} or not url.hostname or not _has_port_or_none(each):
            raise ValueError("it has to be a URL that begins with nats:// or tls://, or several")
    return value


def _is_long_enough(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value().encode()) < SECRET_MIN_BYTES:
        raise ValueError(f"it has to have at least {SECRET_MIN_BYTES} bytes")
    return value


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
        ..., "Where PostgreSQL is, and whom to log in as; `sslmode` and the like belong here."
    )
    database_connect_timeout_seconds: Seconds = _setting(
        5.0, "How long to try to connect.", unit="s"
    )
    database_transaction_pooler: bool = _setting(
        False,
        "Whether the URL leads to a pooler in transaction mode: then nothing is kept prepared.",
    )


class LogSettings(_Environment):
    log_level: str = _setting(
        "info",
        "The least level that is logged; requests are logged at `info`.",
        pattern="^(debug|info|warning|error)$",
    )


class TokenSettings(_Environment):
    jwt_secret: Annotated[SecretStr, AfterValidator(_is_long_enough)] | None = _setting(
        None, "The secret that HS256 tokens are checked with."
    )
    jwt_issuer: str | None = _setting(None, "What `iss` has to be; not set, any issuer will do.")
    jwt_audience: str = _setting("authenticated", "What `aud` has to be, or to contain.")


class Settings(DatabaseSettings, TokenSettings, LogSettings):
    """Everything that `serve` needs."""

    jwks_url: Annotated[str, AfterValidator(_is_http_url)] | None = _setting(
        None, "Where the keys are that ES256 and RS256 tokens are checked with."
    )
    jwks_lifetime_seconds: float = _setting(
        600.0, "How long fetched keys are good for.", unit="s", gt=0, le=600
    )
    jwks_outage_seconds: float = _setting(
        3600.0,
        "How much longer they are used while no new ones can be fetched.",
        unit="s",
        ge=0,
        le=86_400,
    )
    jwks_cooldown_seconds: Seconds = _setting(
        10.0, "How long to wait between fetches for unknown keys, and after a failed one.", unit="s"
    )
    jwks_timeout_seconds: Seconds = _setting(3.0, "How long a fetch may take.", unit="s")

    reason_max_length: int = _setting(500, "The longest reason.", unit="code points", ge=1, le=4000)
    notes_max_length: int = _setting(2000, "The longest notes.", unit="code points", ge=1, le=4000)

    database_pool_size: int = _setting(
        10, "Connections to the database, for each worker.", unit="connections", ge=5, le=1000
    )
    database_pool_timeout_seconds: Seconds = _setting(
        5.0, "How long to wait for one of them.", unit="s"
    )
    database_lock_timeout_seconds: Seconds = _setting(
        2.0, "How long a statement may wait for a lock.", unit="s"
    )
    database_statement_timeout_seconds: Seconds = _setting(
        5.0, "How long a statement may take.", unit="s"
    )
    database_idle_in_transaction_timeout_seconds: Seconds = _setting(
        10.0, "How long a transaction may wait for its next statement.", unit="s"
    )

    groups_in_flight: int = _setting(
        2,
        "Transactions that change sessions at once, for each worker.",
        unit="groups",
        ge=1,
        le=100,
    )
    group_size_max: int = _setting(
        256, "Commands that share one of them.", unit="commands", ge=1, le=10_000
    )
    queue_max: int = _setting(
        5000, "Commands that may wait, for each worker.", unit="commands", ge=1, le=1_000_000
    )
    command_timeout_seconds: Seconds = _setting(
        5.0, "How long a command may wait to be begun.", unit="s"
    )

    host: str = _setting("127.0.0.1", "The address to listen on.")
    port: int = _setting(8000, "The port to listen on.", ge=0, le=65_535)
    workers: int = _setting(1, "Processes.", unit="processes", ge=1, le=256)
    shutdown_notice_seconds: float = _setting(
        0.0,
        "How long to go on, but not to be ready, after SIGTERM: until balancers have turned away.",
        unit="s",
        ge=0,
        le=3600,
    )
    shutdown_timeout_seconds: int = _setting(
        20, "How long requests under way may take to finish at shutdown.", unit="s", ge=1, le=3600
    )

    @model_validator(mode="after")
    def _has_a_key(self) -> Self:
        if self.jwt_secret is None and self.jwks_url is None:
            raise ValueError("SERVICE_JWT_SECRET or SERVICE_JWKS_URL has to be set, or both")
        return self

    @model_validator(mode="after")
    def _timeouts_are_nested(self) -> Self:
        if not (
            self.database_lock_timeout_seconds
            < self.database_statement_timeout_seconds
            < self.database_idle_in_transaction_timeout_seconds
        ):
            raise ValueError(
                "SERVICE_DATABASE_LOCK_TIMEOUT_SECONDS has to be less than"
                " SERVICE_DATABASE_STATEMENT_TIMEOUT_SECONDS, and that less than"
                " SERVICE_DATABASE_IDLE_IN_TRANSACTION_TIMEOUT_SECONDS"
            )
        return self

    @model_validator(mode="after")
    def _reads_have_connections(self) -> Self:
        least = 2 * self.groups_in_flight + 4
        if self.database_pool_size < least:
            raise ValueError(
                "SERVICE_DATABASE_POOL_SIZE has to be at least 2 x SERVICE_GROUPS_IN_FLIGHT + 4:"
                " groups of commands and groups of reads take a connection each, retries of both"
                " take one each, lists take one, and readiness has one"
            )
        return self


class RelaySettings(DatabaseSettings, LogSettings):
    """Everything that `relay` needs."""

    nats_url: Annotated[SecretStr, AfterValidator(_are_nats_urls)] = _setting(
        ..., "Where NATS is, and whom to log in as; several servers with commas between them."
    )
    nats_stream: str = _setting(
        "TRAINING_SESSIONS", "The stream that events go to.", pattern=r"^[A-Za-z0-9_-]{1,255}$"
    )
    nats_stream_replicas: int = _setting(
        1, "Servers that keep the stream, at least.", unit="servers", ge=1, le=5
    )
    nats_duplicate_window_seconds: float = _setting(
        120.0, "How long the stream remembers ids, at least.", unit="s", ge=1, le=86_400
    )
    nats_timeout_seconds: Seconds = _setting(
        5.0, "How long to wait for an acknowledgement.", unit="s"
    )
    events_source: str = _setting(
        "/training-sessions",
        "The `source` of the events, a URI reference.",
        pattern=r"^[!#$&-;=?-Z_a-z~]{1,255}$",
    )

    relay_batch_size: int = _setting(
        1000, "Events that are taken from the queue at once.", unit="events", ge=1, le=1000
    )
    relay_publishes_in_flight: int = _setting(
        256, "Events of different sessions that are on their way at once.", unit="events", ge=1
    )
    relay_poll_min_seconds: float = _setting(
        0.05, "How long to wait for more events after a few.", unit="s", gt=0, le=10
    )
    relay_poll_max_seconds: float = _setting(
        0.25, "How long to wait after none or many, and for a turn.", unit="s", gt=0, le=10
    )
    relay_lease_seconds: float = _setting(
        1.0, "After which a relay that nothing is heard of is taken over.", unit="s", gt=0, le=60
    )
    relay_statement_timeout_seconds: Seconds = _setting(
        5.0, "How long a statement of the relay may take.", unit="s"
    )


def load(kind: type[S], **given: Any) -> S:
    """The settings of the environment, but for those given. Raises WrongSettings."""
    if complaints := _misspelled():
        raise WrongSettings("\n".join(complaints))
    try:
        return kind(**given)
    except ValidationError as exc:
        raise WrongSettings("\n".join(_sentence(error) for error in exc.errors())) from None


def all_settings() -> dict[str, FieldInfo]:
    return Settings.model_fields | RelaySettings.model_fields


def _misspelled() -> list[str]:
    """A misspelled setting would be lost in silence."""
    known = [f"{PREFIX}{name}".upper() for name in all_settings()]
    given = [name for name in os.environ if name.startswith(PREFIX) and name not in known]
    return [
        f"{name} is no setting; did you mean {close[0]}?"
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
        return f"{name} is not set, and it has to be."
    return f"{name} is wrong: {problem[0].lower()}{problem[1:]}."

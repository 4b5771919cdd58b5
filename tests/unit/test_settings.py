# SPDX-License-Identifier: MIT
"""Settings: all documented, wrong values refused in a sentence, secrets hidden."""

from pathlib import Path
from typing import Any

import pytest
from pydantic.fields import FieldInfo

from service.bootstrap.settings import (
    PREFIX,
    DatabaseSettings,
    RelaySettings,
    Settings,
    WrongSettings,
    all_settings,
    load,
)

DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"
PASSWORD = "correct horse battery staple"
DATABASE_URL = f"postgresql://api:{PASSWORD}@db.example.com/training"
SECRET = "0123456789abcdef0123456789abcdef"
GOOD = {"SERVICE_DATABASE_URL": DATABASE_URL, "SERVICE_JWT_SECRET": SECRET}


def in_environment(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in (GOOD | variables).items():
        monkeypatch.setenv(name, value)


def documented(name: str, setting: FieldInfo) -> str:
    default = "required" if setting.is_required() else _as_written(setting.default)
    return f"| `{PREFIX}{name.upper()}` | {default} | {setting.description} |"


def _as_written(default: Any) -> str:
    if default is None:
        return "not set"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def test_every_setting_stands_in_the_documentation_with_its_default() -> None:
    rows = [documented(name, setting) for name, setting in all_settings().items()]
    written = [row for row in DOCUMENT.read_text().splitlines() if row.startswith("| `SERVICE_")]
    assert sorted(written) == sorted(rows)


@pytest.mark.parametrize(
    "path",
    ["/v1", "/gym/v1", "/a.b", "/...", "/%C5%BCar", "/a%20b", "/~me;v=1,2:@!$&'()*+=", "/-_"],
)
def test_accepts_a_root_path(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    in_environment(monkeypatch, SERVICE_ROOT_PATH=path)

    assert load(Settings).root_path == path


@pytest.mark.parametrize(
    ("listed", "origins"),
    [
        ("*", ("*",)),
        ("https://gym.example", ("https://gym.example",)),
        ("http://localhost:5173, https://a.b-c.example", None),
        ("http://127.0.0.1:3000,http://[::1]:3000", None),
        ("capacitor://localhost,chrome-extension://abcdefgh", None),
        ("https://xn--gym-fka.example:8443", None),
    ],
)
def test_accepts_origins_as_browsers_send_them(
    monkeypatch: pytest.MonkeyPatch, listed: str, origins: tuple[str, ...] | None
) -> None:
    in_environment(monkeypatch, SERVICE_CORS_ALLOWED_ORIGINS=listed)

    expected = origins or tuple(listed.replace(" ", "").split(","))
    assert load(Settings).allowed_origins == expected


def test_allows_no_origin_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    in_environment(monkeypatch)

    assert load(Settings).allowed_origins == ()


def test_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    in_environment(monkeypatch, SERVICE_PORT="9000", SERVICE_DATABASE_TRANSACTION_POOLER="true")

    settings = load(Settings)

    assert (settings.port, settings.database_transaction_pooler) == (9000, True)
    assert settings.database_url.get_secret_value() == DATABASE_URL


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
def test_accepts_every_usual_spelling_of_a_database_url(
    monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    in_environment(monkeypatch, SERVICE_DATABASE_URL=f"{scheme}://api@db/training")

    url = load(DatabaseSettings).database_url.get_secret_value()

    assert url.removeprefix("postgresql").removeprefix("postgres") == "://api@db/training"


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("DATABASE_URL", f"mysql://api:{PASSWORD}@db/training", "begins with postgresql://"),
        ("DATABASE_URL", f"postgresql://api:pa/{PASSWORD}@db/training", "percent-encoded"),
        ("DATABASE_URL", f"{DATABASE_URL}?ssl_mode=require", "did you mean `sslmode`?"),
        ("JWT_SECRET", "short", "at least 32 bytes"),
        ("JWKS_URL", "ftp://keys", "begins with https://"),
        ("JWKS_URL", "http://issuer:80a/", "begins with https://"),
        ("JWKS_URL", f"https://api:[{PASSWORD}]@issuer/", "remove"),
        ("PORT", "eighty", "integer"),
        ("PORT", "65536", "less than or equal to 65535"),
        ("WORKERS", "0", "greater than or equal to 1"),
        ("JWKS_LIFETIME_SECONDS", "601", "less than or equal to 600"),
        ("LOG_LEVEL", "loud", "match"),
        ("ROOT_PATH", "v1", "a path such as /v1"),
        ("ROOT_PATH", "/", "none at the end"),
        ("ROOT_PATH", "/v1/", "none at the end"),
        ("ROOT_PATH", "//v1", "a path such as /v1"),
        ("ROOT_PATH", "/gym//v1", "a path such as /v1"),
        ("ROOT_PATH", "https://gym.example/v1", "a path such as /v1"),
        ("ROOT_PATH", "/v1?a=b", "a path such as /v1"),
        ("ROOT_PATH", "/v1#top", "a path such as /v1"),
        ("ROOT_PATH", "/v 1", "percent-encoded"),
        ("ROOT_PATH", "/v1\r\nX-Evil: 1", "percent-encoded"),
        ("ROOT_PATH", "/żar", "percent-encoded"),
        ("ROOT_PATH", "/{v}", "percent-encoded"),
        ("ROOT_PATH", "/v%1", "percent-encoded"),
        ("ROOT_PATH", "/v%zz", "percent-encoded"),
        ("ROOT_PATH", "/v%ff", "not that of text in UTF-8"),
        ("ROOT_PATH", "/v1/..", "must not be . or .."),
        ("ROOT_PATH", "/./v1", "must not be . or .."),
        ("ROOT_PATH", "/v1/%2e%2E", "must not be . or .."),
        ("ROOT_PATH", "/v1%2Fgym", "encode a slash"),
        ("ROOT_PATH", "/%7Bv%7D", "a brace"),
        ("ROOT_PATH", "/v1%0d%0aX", "control character"),
        ("CORS_ALLOWED_ORIGINS", "https://gym.example/", "number 1 ends with a slash"),
        ("CORS_ALLOWED_ORIGINS", "https://gym.example/app", "number 1 has a path"),
        ("CORS_ALLOWED_ORIGINS", "https://gym.example?a=b", "number 1 has a path"),
        ("CORS_ALLOWED_ORIGINS", "https://a.example,gym.example", "number 2 does not begin"),
        ("CORS_ALLOWED_ORIGINS", "null", "number 1 does not begin with a scheme"),
        ("CORS_ALLOWED_ORIGINS", "://gym.example", "number 1 does not begin with a scheme"),
        ("CORS_ALLOWED_ORIGINS", "https://a.example,", "number 2 is empty"),
        ("CORS_ALLOWED_ORIGINS", "https://a.example,*", "number 2 is *, which stands alone"),
        ("CORS_ALLOWED_ORIGINS", "https://*.gym.example", "number 1 has a wildcard"),
        ("CORS_ALLOWED_ORIGINS", "https://Gym.example", "number 1 is not in lower case"),
        ("CORS_ALLOWED_ORIGINS", "https://gym.example:443", "names the default port"),
        ("CORS_ALLOWED_ORIGINS", "http://gym.example:80", "names the default port"),
        ("CORS_ALLOWED_ORIGINS", f"https://api:{PASSWORD}@gym.example", "at most a port"),
        ("CORS_ALLOWED_ORIGINS", "https://gym.example:a", "at most a port"),
        ("CORS_ALLOWED_ORIGINS", "https://żar.example", "at most a port"),
        ("CORS_ALLOWED_ORIGINS", "https://a.example https://b.example", "has a path"),
        ("DATABASE_STATEMENT_TIMEOUT_SECONDS", "1", "must be less than"),
        ("GROUPS_IN_FLIGHT", "9", "SERVICE_DATABASE_POOL_SIZE must be at least"),
        ("GROUP_SIZE_MAXX", "9", "did you mean SERVICE_GROUP_SIZE_MAX?"),
    ],
)
def test_refuses_a_wrong_setting_in_a_sentence_without_its_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, why: str
) -> None:
    in_environment(monkeypatch, **{f"SERVICE_{name}": value})

    with pytest.raises(WrongSettings) as refused:
        load(Settings)

    sentence = str(refused.value)
    assert f"SERVICE_{name}" in sentence
    assert why in sentence
    assert PASSWORD not in sentence


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("NATS_URL", "", "must be set"),
        ("NATS_URL", f"http://api:{PASSWORD}@broker", "begin with nats://"),
        ("NATS_URL", f"nats://broker,api:{PASSWORD}@other", "begin with nats://"),
        ("NATS_URL", "nats://broker:port", "begin with nats://"),
        ("NATS_URL", f"nats://api:9,{PASSWORD}@broker", "%2C"),
        ("NATS_URL", f"nats://broker/{PASSWORD}", "path"),
        ("NATS_STREAM", "TRAINING.SESSIONS", "match"),
        ("RELAY_LEASE_SECONDS", "0", "greater than 0"),
        ("EVENTS_SOURCE", "a gym", "match"),
    ],
)
def test_refuses_a_wrong_setting_of_the_relay(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, why: str
) -> None:
    in_environment(monkeypatch, **{"SERVICE_NATS_URL": "nats://broker", f"SERVICE_{name}": value})

    with pytest.raises(WrongSettings, match=why) as refused:
        load(RelaySettings)

    assert PASSWORD not in str(refused.value)


def test_names_every_missing_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in GOOD:
        monkeypatch.delenv(name, raising=False)

    with pytest.raises(WrongSettings, match="SERVICE_DATABASE_URL must be set"):
        load(Settings)
    monkeypatch.setenv("SERVICE_DATABASE_URL", DATABASE_URL)
    with pytest.raises(WrongSettings, match="SERVICE_JWT_SECRET or SERVICE_JWKS_URL"):
        load(Settings)


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    in_environment(monkeypatch, SERVICE_JWT_ISSUER="", SERVICE_JWKS_URL="")

    settings = load(Settings)

    assert (settings.jwt_issuer, settings.jwks_url) == (None, None)


def test_ignores_variables_without_the_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    in_environment(
        monkeypatch, SERVICE_TEST_DATABASE_URL="postgresql://", SERVICE_MESH="istio", SERVICES="3"
    )

    assert load(Settings).database_url.get_secret_value() == DATABASE_URL


def test_repr_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    in_environment(monkeypatch)

    settings = load(Settings)

    for shown in (repr(settings), str(settings), settings.model_dump_json()):
        assert PASSWORD not in shown
        assert SECRET not in shown


def test_settings_are_immutable(monkeypatch: pytest.MonkeyPatch) -> None:
    in_environment(monkeypatch)
    settings = load(Settings)

    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1

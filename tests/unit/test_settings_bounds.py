# SPDX-License-Identifier: MIT
"""Bounds of numeric settings, to the last value, alone and against each other."""

from typing import Any

import pytest

from service.bootstrap.settings import RelaySettings, Settings, WrongSettings, load

URL = "postgresql://api@db/training"
GIVEN: dict[type[Settings] | type[RelaySettings], dict[str, Any]] = {
    Settings: {"database_url": URL, "jwt_secret": "0123456789abcdef0123456789abcdef"},
    RelaySettings: {"database_url": URL, "nats_url": "nats://broker"},
}

SECONDS = (0.001, 3600, 0, 3600.001)
"""Smallest and largest accepted, smallest and largest refused."""

BOUNDS: list[tuple[Any, str, tuple[float, float, float, float]]] = [
    (Settings, "database_connect_timeout_seconds", SECONDS),
    (Settings, "jwks_lifetime_seconds", (0.001, 600, 0, 600.001)),
    (Settings, "jwks_outage_seconds", (0, 86_400, -0.001, 86_400.001)),
    (Settings, "jwks_cooldown_seconds", SECONDS),
    (Settings, "jwks_timeout_seconds", SECONDS),
    (Settings, "database_pool_size", (5, 1000, 4, 1001)),
    (Settings, "database_pool_timeout_seconds", SECONDS),
    (Settings, "database_lock_timeout_seconds", (0.001, 4.999, 0, 5)),
    (Settings, "database_statement_timeout_seconds", (2.001, 9.999, 2, 10)),
    (Settings, "database_idle_in_transaction_timeout_seconds", (5.001, 3600, 5, 3600.001)),
    (Settings, "groups_in_flight", (1, 3, 0, 4)),
    (Settings, "group_size_max", (1, 10_000, 0, 10_001)),
    (Settings, "queue_max", (1, 1_000_000, 0, 1_000_001)),
    (Settings, "user_queue_max", (1, 1_000_000, 0, 1_000_001)),
    (Settings, "command_timeout_seconds", SECONDS),
    (Settings, "port", (0, 65_535, -1, 65_536)),
    (Settings, "workers", (1, 256, 0, 257)),
    (Settings, "worker_health_timeout_seconds", (1, 3600, 0, 3601)),
    (Settings, "connections_max", (1, 1_000_000, 0, 1_000_001)),
    (Settings, "first_byte_timeout_seconds", SECONDS),
    (Settings, "head_timeout_seconds", SECONDS),
    (Settings, "body_timeout_seconds", SECONDS),
    (Settings, "send_timeout_seconds", SECONDS),
    (Settings, "keep_alive_seconds", SECONDS),
    (Settings, "shutdown_notice_seconds", (0, 3600, -0.001, 3600.001)),
    (Settings, "shutdown_timeout_seconds", (1, 3600, 0, 3601)),
    (RelaySettings, "nats_stream_replicas", (1, 5, 0, 6)),
    (RelaySettings, "nats_duplicate_window_seconds", (1, 86_400, 0.999, 86_400.001)),
    (RelaySettings, "nats_timeout_seconds", SECONDS),
    (RelaySettings, "relay_batch_size", (1, 1000, 0, 1001)),
    (RelaySettings, "relay_poll_min_seconds", (0.001, 10, 0, 10.001)),
    (RelaySettings, "relay_poll_max_seconds", (0.001, 10, 0, 10.001)),
    (RelaySettings, "relay_lease_seconds", (0.001, 60, 0, 60.001)),
    (RelaySettings, "relay_statement_timeout_seconds", SECONDS),
]


@pytest.mark.parametrize(("kind", "name", "bounds"), BOUNDS, ids=[name for _, name, _ in BOUNDS])
def test_accepts_a_setting_up_to_its_bounds_and_refuses_the_next_value(
    kind: Any, name: str, bounds: tuple[float, float, float, float]
) -> None:
    least, most, too_little, too_much = bounds

    for accepted in (least, most):
        assert getattr(load(kind, **GIVEN[kind] | {name: accepted}), name) == accepted
    for refused in (too_little, too_much):
        with pytest.raises(WrongSettings, match=f"SERVICE_{name.upper()}"):
            load(kind, **GIVEN[kind] | {name: refused})


@pytest.mark.parametrize(("groups", "least"), [(2, 7), (7, 17), (100, 203)])
def test_the_pool_has_a_connection_for_each_group_and_its_retries(groups: int, least: int) -> None:
    given = GIVEN[Settings] | {"groups_in_flight": groups}

    assert load(Settings, **given, database_pool_size=least).database_pool_size == least
    with pytest.raises(WrongSettings, match="SERVICE_DATABASE_POOL_SIZE must be at least"):
        load(Settings, **given, database_pool_size=least - 1)


@pytest.mark.parametrize(
    ("lock", "statement", "idle"),
    [(2, 2, 10), (3, 2, 10), (2, 10, 10), (2, 11, 10), (2, 2, 2), (10, 5, 2)],
)
def test_refuses_timeouts_that_are_not_shorter_than_the_timeouts_around_them(
    lock: float, statement: float, idle: float
) -> None:
    timeouts = {
        "database_lock_timeout_seconds": lock,
        "database_statement_timeout_seconds": statement,
        "database_idle_in_transaction_timeout_seconds": idle,
    }
    with pytest.raises(WrongSettings, match="must be less than"):
        load(Settings, **GIVEN[Settings] | timeouts)


@pytest.mark.parametrize(
    ("secret", "is_accepted"), [("k" * 31, False), ("k" * 32, True), ("ж" * 16, True)]
)
def test_counts_the_bytes_of_a_secret(secret: str, is_accepted: bool) -> None:
    given = GIVEN[Settings] | {"jwt_secret": secret}
    if is_accepted:
        load(Settings, **given)
        return
    with pytest.raises(WrongSettings, match="at least 32 bytes"):
        load(Settings, **given)


@pytest.mark.parametrize("name", ["S" * 256, "", "A.B", "A B", "A>", "Ä"])
def test_refuses_names_that_a_stream_cannot_have(name: str) -> None:
    with pytest.raises(WrongSettings, match="SERVICE_NATS_STREAM"):
        load(RelaySettings, **GIVEN[RelaySettings], nats_stream=name)


def test_accepts_the_longest_name_of_a_stream() -> None:
    load(RelaySettings, **GIVEN[RelaySettings], nats_stream="aZ09_-".ljust(255, "S"))

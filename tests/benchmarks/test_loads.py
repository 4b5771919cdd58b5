# SPDX-License-Identifier: MIT
"""Every kind of load has requests, a script of wrk and a check for each of its contenders."""

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from benchmarks.contenders.catalogue import CONTENDERS, PGBENCH
from benchmarks.contenders.contract import Refused
from benchmarks.contenders.paging import limit_of, meta_of, position_of
from benchmarks.fresh import Fresh
from benchmarks.issuer import issuing
from benchmarks.load import SCRIPT, SCRIPTS
from benchmarks.plan import HS256, KINDS, LIVED, READ, REREAD
from benchmarks.subjects import CHECKS, CHECKS_WITHOUT_DATABASE

LAST = (datetime(2026, 11, 22, 9, 0, 0, 123, tzinfo=UTC), UUID(int=7))


@pytest.mark.parametrize("kind", KINDS)
def test_has_a_script_and_requests_of_equal_length(kind: str, tmp_path: Path) -> None:
    fresh = Fresh(tmp_path, count=3)
    with issuing(HS256) as issuer:
        fresh.write([(kind, issuer)])

    text = fresh.requests(kind, HS256).read_bytes()

    assert (SCRIPTS / f"{SCRIPT[kind]}.lua").is_file()
    assert len(text) == 3 * fresh.request_length(kind, HS256)


@pytest.mark.parametrize("name", [name for name in CONTENDERS if name != PGBENCH])
def test_a_contender_is_checked_in_each_kind_of_load_that_it_serves(name: str) -> None:
    checks = CHECKS_WITHOUT_DATABASE.get(name, {}) | (
        CHECKS if CONTENDERS[name].uses_database else {}
    )
    assert CONTENDERS[name].kinds - set(KINDS) == set()
    assert set(checks) >= CONTENDERS[name].kinds


def test_reading_again_sends_the_requests_of_reading(tmp_path: Path) -> None:
    fresh = Fresh(tmp_path, count=3)
    assert fresh.requests(REREAD, HS256) == fresh.requests(READ, HS256)


def test_users_of_an_app_have_the_session_of_their_number_and_a_token_of_their_own(
    tmp_path: Path,
) -> None:
    fresh = Fresh(tmp_path, count=2)
    with issuing(HS256) as issuer:
        fresh.write([(LIVED, issuer)])
    text, length = (
        fresh.requests(LIVED, HS256).read_bytes().decode(),
        fresh.request_length(LIVED, HS256),
    )
    users = text[:length], text[length:]

    assert len({UUID(each[:36]) for each in users}) == 2
    assert len({each.partition("Bearer ")[2].partition("\r\n")[0] for each in users}) == 2
    assert [f"X-Request-Id: life-{n:010}\r\n" in users[n] for n in range(2)] == [True, True]


def test_a_cursor_leads_back_to_its_position() -> None:
    assert position_of(meta_of(LAST)["nextCursor"]) == LAST
    assert (position_of(None), meta_of(None), limit_of(None)) == (None, {}, 20)


@pytest.mark.parametrize("cursor", ["nothing", "", "AAAA", "ä"])
def test_refuses_a_wrong_cursor(cursor: str) -> None:
    with pytest.raises(Refused):
        position_of(cursor)


@pytest.mark.parametrize("limit", ["0", "101", "-1", "ten", "٣"])
def test_refuses_a_wrong_limit(limit: str) -> None:
    with pytest.raises(Refused):
        limit_of(limit)

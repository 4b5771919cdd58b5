# SPDX-License-Identifier: MIT
"""A password of any characters, percent-encoded in the URL, logs in to PostgreSQL.

Through the settings and the engine that the API, the relay and the migration share.
"""

import string
from urllib.parse import quote

import asyncpg
import pytest
from pydantic import SecretStr

from service.application.errors import DependencyUnavailable
from service.bootstrap.settings import DatabaseSettings
from tests.logins import DOTTED, Gate
from tests.running import an_engine

PRINTABLE = string.ascii_letters + string.digits + string.punctuation + " "
PASSWORDS = (
    PRINTABLE,
    PRINTABLE[::-1],
    *(f"{each}a{each}" for each in "@:/?#[],%+&=;\\'\" "),
    "%41 stands for itself",
    "a%2Cb+c&d=e",
    "[YOUR-PASSWORD]",
    "Größe 9, ☃",
    "пароль@日本語/🏋️",
    "e\N{COMBINING ACUTE ACCENT}",
    "\N{LATIN SMALL LIGATURE FI} \N{FULLWIDTH NUMBER SIGN} \N{NO-BREAK SPACE}",
    "p" * 500,
)


async def accepts(gate: Gate, written: str) -> bool:
    """Whether this password, as it is written in the URL, opens a connection."""
    given = SecretStr(gate.url(login=f"{DOTTED}:{written}"))
    url = DatabaseSettings(database_url=given).database_url.get_secret_value()
    async with an_engine(url) as engine:
        try:
            async with engine.connect():
                return True
        except DependencyUnavailable:
            return False


async def set_password(gate: Gate, password: str) -> None:
    connection = await asyncpg.connect(gate.url(login="president"))
    statement = await connection.fetchval(
        "SELECT format('ALTER ROLE %I PASSWORD %L', $1::text, $2::text)", DOTTED, password
    )
    await connection.execute(statement)
    await connection.close()


async def test_a_password_may_hold_any_character(gate: Gate) -> None:
    refused = []
    for password in PASSWORDS:
        await set_password(gate, password)
        if not await accepts(gate, quote(password, safe="")):
            refused.append(password)

    assert refused == []


async def test_another_password_is_refused(gate: Gate) -> None:
    await set_password(gate, PRINTABLE)

    assert not await accepts(gate, quote(PRINTABLE[:-1], safe=""))
    assert not await accepts(gate, quote(PRINTABLE.swapcase(), safe=""))


@pytest.mark.parametrize("written", ["p%40ss:w%C3%B6rd%2B", "p%40ss%3Aw%c3%b6rd+", "p%40ss:wörd+"])
async def test_an_encoding_has_several_forms(gate: Gate, written: str) -> None:
    await set_password(gate, "p@ss:wörd+")

    assert await accepts(gate, written)

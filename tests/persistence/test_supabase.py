# SPDX-License-Identifier: MIT
"""docs/supabase.md: its SQL, its URLs and its links, on a database like that of a project."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import asyncpg
import pytest
from pydantic import SecretStr
from sqlalchemy import NullPool

from service.bootstrap.migrations import ALEMBIC_INI, migrate
from service.bootstrap.relay import parked
from service.bootstrap.settings import DatabaseSettings, RelaySettings, Settings
from service.http.token_refusals import TokenRefusal
from service.persistence.checks import OK
from service.persistence.database_url import parse_database_url
from service.persistence.engine import create_engine
from service.persistence.readiness import Readiness
from tests.persistence.supabase import as_project_owner
from tests.running import TestDatabase
from tests.tls import Authority

DOCS = ALEMBIC_INI.parent / "docs"
PAGE = (DOCS / "supabase.md").read_text()
LOGINS = ("training_api", "training_relay")
ROW = re.compile(r"^\| ([^|]+) \| `(postgresql://[^`]+)` \| `(true|false)` \|$", re.MULTILINE)
CONNECTIONS = {name: (url, pooler == "true") for name, url, pooler in ROW.findall(PAGE)}


def filled(url: str) -> str:
    """The URL of a project, in place of the placeholders."""
    url = url.replace("<ref>", "abcdefghijklmnopqrst").replace("<region>", "eu-central-1")
    return url.replace("…", "p%40ss%2F1")


@pytest.fixture
async def project(supabase: TestDatabase) -> AsyncIterator[TestDatabase]:
    """A project in whose SQL editor the statements of the page have run."""
    [statements] = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    owner = await asyncpg.connect(as_project_owner(supabase).database_url.get_secret_value())
    await owner.execute(statements)
    await owner.close()
    yield supabase
    await supabase.execute(f"DROP ROLE {', '.join(LOGINS)}")


async def test_the_logins_of_the_page_can_do_their_work_after_the_migration(
    project: TestDatabase,
) -> None:
    api, relay = LOGINS
    await asyncio.to_thread(migrate, as_project_owner(project), grant_to=api, grant_relay_to=relay)

    engine = create_engine(url_of(project, api), connect_timeout=5, poolclass=NullPool)
    assert set((await Readiness(engine).checks()).values()) == {OK}
    settings = RelaySettings(
        database_url=SecretStr(url_of(project, relay)), nats_url=SecretStr("nats://127.0.0.1:1")
    )
    assert await parked(settings) == []


def url_of(project: TestDatabase, login: str) -> str:
    return project.cluster.login_url(login, project.name)


@pytest.mark.parametrize(("url", "is_pooler"), CONNECTIONS.values(), ids=CONNECTIONS)
def test_warns_of_a_connection_of_the_page_only_if_its_setting_is_missing(
    url: str, is_pooler: bool
) -> None:
    given = SecretStr(filled(url))
    settings = DatabaseSettings(database_url=given, database_transaction_pooler=is_pooler)
    doubt = settings.pooler_doubt()

    in_session_mode = ".pooler." in url and not is_pooler
    assert (doubt is not None) is in_session_mode
    without = DatabaseSettings(database_url=given, database_transaction_pooler=False)
    assert (without.pooler_doubt() is not None) is (is_pooler or in_session_mode)


def test_the_page_has_every_connection_of_a_project() -> None:
    assert list(CONNECTIONS) == [
        "direct",
        "pooler, session mode",
        "pooler, transaction mode",
        "dedicated pooler, transaction mode",
    ]


def test_every_url_of_the_page_is_accepted(tmp_path: Path) -> None:
    authority = str(Authority(tmp_path).file)
    urls = re.findall(r"postgresql://[^\s`']+", PAGE)
    assert len(urls) > len(CONNECTIONS)
    for url in urls:
        target = parse_database_url(filled(url).replace("/etc/ssl/prod-ca-2021.crt", authority))
        assert target.ignored == ()


def test_the_password_of_the_page_is_encoded_as_it_says() -> None:
    assert quote("p@ss/1 of the API", safe="") in PAGE


def test_the_page_quotes_the_log_and_the_defaults_of_the_service() -> None:
    assert f'"meaning": "{TokenRefusal.WRONG_SUBJECT.value}"' in PAGE
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    assert defaults["jwks_lifetime_seconds"] == 10 * 60
    assert defaults["jwks_outage_seconds"] == 60 * 60


def test_every_link_of_the_page_leads_somewhere() -> None:
    for file, anchor in re.findall(r"\]\(((?!https?:)[^)#]*)(?:#([^)]+))?\)", PAGE):
        target = (DOCS / file).resolve() if file else DOCS / "supabase.md"
        assert target.exists(), file
        if anchor:
            heads = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            assert anchor in {
                re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads
            }


def test_every_file_of_tests_that_the_page_names_exists() -> None:
    named = re.findall(r"`(tests/\S+\.py)`", PAGE)
    assert named
    assert [each for each in named if not (DOCS.parent / each).exists()] == []

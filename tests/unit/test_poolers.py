# SPDX-License-Identifier: MIT
"""Which database URLs look like those of a pooler while the setting for one is off."""

import pytest
from pydantic import SecretStr

from service.bootstrap.settings import DatabaseSettings

TRANSACTION, MODE = "transaction pooler suspected", "check the mode of the connection"


def settings(place: str, *, pooler: bool = False) -> DatabaseSettings:
    url = SecretStr(f"postgresql://training_api.abc:hush@{place}")
    return DatabaseSettings(database_url=url, database_transaction_pooler=pooler)


@pytest.mark.parametrize(
    ("place", "event", "words"),
    [
        ("db.abc.supabase.co:6543/postgres", TRANSACTION, "port 6543"),
        ("aws-0-eu-central-1.pooler.supabase.com:6543/postgres", TRANSACTION, "port 6543"),
        ("replica:5432,pooler:6432/gym", TRANSACTION, "port 6432"),
        ("/gym?host=aws-1-eu-west-3.pooler.supabase.com&port=6543", TRANSACTION, "port 6543"),
        ("aws-0-eu-central-1.pooler.supabase.com:5432/postgres", MODE, "at port 5432, false"),
        ("aws-0-eu-central-1.pooler.supabase.com/postgres", MODE, "this is port 5432"),
        ("AWS-0-EU.POOLER.SUPABASE.COM.:7000/postgres", MODE, "this is port 7000"),
        ("db.abc.supabase.co,fly-0-fra.pooler.supabase.com/postgres", MODE, "fly-0-fra"),
    ],
)
def test_warns_of_a_port_for_transaction_mode_and_of_a_host_that_is_a_pooler(
    place: str, event: str, words: str
) -> None:
    doubt = settings(place).pooler_doubt()

    assert doubt is not None
    assert doubt.event == event
    assert words in doubt.reason
    assert "hush" not in doubt.reason
    assert settings(place, pooler=True).pooler_doubt() is None


@pytest.mark.parametrize(
    "place",
    [
        "db.abc.supabase.co:5432/postgres",
        "db.example.com/gym",
        "pooler.supabase.com.example.com/gym",
        "notpooler-supabase.com/gym",
        "db.abc.supabase.co:6543/postgres?pgbouncer=true",
        "aws-0-eu.pooler.supabase.com:6543/postgres?statement_cache_size=0",
    ],
)
def test_says_nothing_of_other_urls_and_of_those_that_turn_prepared_statements_off(
    place: str,
) -> None:
    assert settings(place).pooler_doubt() is None

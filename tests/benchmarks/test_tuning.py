# SPDX-License-Identifier: MIT
"""The settings that are compared."""

from benchmarks.tuning import VARIANTS, entrants_of, variant
from service.bootstrap.settings import Settings


def test_the_defaults_come_first_and_each_variant_is_named_by_its_settings() -> None:
    chosen = entrants_of([variant("groups_in_flight=4,database_pool_size=12")])

    assert [each.title for each in chosen] == [
        "defaults",
        "groups_in_flight=4, database_pool_size=12",
    ]
    assert chosen[0].settings == {}
    assert chosen[1].settings == {"groups_in_flight": "4", "database_pool_size": "12"}


def test_every_variant_is_accepted_by_the_service() -> None:
    for each in VARIANTS:
        Settings.model_validate({"database_url": "postgresql:///", "jwt_secret": "s" * 32, **each})

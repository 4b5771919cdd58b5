# SPDX-License-Identifier: MIT
"""Users in the log: the same name for the same user, and no way back without the key."""

import hashlib
import hmac
import re
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from service.bootstrap.pseudonyms import Pseudonyms, check_pseudonym_key

KEY = "a key for the log that is long enough"
RUNNER = UUID("6f1e1c1e-8a55-4f5e-9d3c-0a2f5d1b7c11")


def test_a_user_has_the_same_name_in_every_replica() -> None:
    name = Pseudonyms(KEY)(RUNNER)

    assert name == Pseudonyms(KEY)(UUID(RUNNER.hex))
    assert re.fullmatch("[0-9a-f]{16}", name)


def test_the_name_is_the_beginning_of_an_hmac_as_openssl_makes_it() -> None:
    whole = hmac.new(KEY.encode(), str(RUNNER).encode(), hashlib.sha256).hexdigest()

    assert whole.startswith(Pseudonyms(KEY)(RUNNER))


def test_another_user_and_another_key_give_another_name() -> None:
    names = {Pseudonyms(KEY)(RUNNER), Pseudonyms(KEY)(uuid4()), Pseudonyms(f"{KEY}2")(RUNNER)}

    assert len(names) == 3


@pytest.mark.parametrize("key", [KEY, "é" * 16])
def test_accepts_a_key_of_at_least_32_bytes(key: str) -> None:
    assert check_pseudonym_key(SecretStr(key)).get_secret_value() == key


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (KEY[:29], "at least 32 bytes"),
        (f"{KEY}\n", "white space"),
        (f'"{KEY}"', "quotes"),
        (f"{KEY}\udcff{KEY}", "UTF-8"),
    ],
)
def test_refuses_another_key_and_quotes_nothing_of_it(key: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as refused:
        check_pseudonym_key(SecretStr(key))

    assert KEY[:8] not in str(refused.value)

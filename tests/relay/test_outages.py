# SPDX-License-Identifier: MIT
"""The words for an outage: true, and without a part of a login."""

import ssl

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from nats.errors import Error as NatsError
from nats.errors import UnexpectedEOF

from service.relay import outages
from service.relay.outages import describe_failure, describe_loss, describe_round, quote

SECRET = "MyRealPassw0rd"


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("insufficient resources", '"insufficient resources"'),
        ("two\r\nlines\x1b[31m", '"two  lines [31m"'),
        ("x" * 300, f'"{"x" * 200}"'),
        ("Größe ☃", '"Größe ☃"'),
    ],
)
def test_quotes_the_words_of_a_server_on_one_line(words: str, shown: str) -> None:
    assert quote(words, [SECRET]) == shown


@pytest.mark.parametrize(
    "words", [SECRET, f"no user {SECRET.lower()}", f"{'x' * 150}{SECRET * 10}", f"\0{SECRET}"]
)
def test_leaves_out_words_that_repeat_a_part_of_the_login(words: str) -> None:
    assert quote(words, ["coach", SECRET]) == "(its words repeat a part of the login)"


@pytest.mark.parametrize(
    ("words", "secret", "is_shown"),
    [
        ("JetStream not enabled for account", "a", True),
        ("user a is unknown", "a", False),
        ("Authorization Violation", "authorization", True),
        ("permissions violation for publish", "publish", True),
        ("no authorization for gym", "authorization", False),
        ("password % is wrong", "%", False),
        ("anything", "", True),
    ],
)
def test_a_short_login_hides_only_its_own_word(words: str, secret: str, is_shown: bool) -> None:
    assert (words in quote(words, [secret])) is is_shown


@given(st.text(), st.text(), st.text(min_size=outages.SHORT))
@example("", "", "İİİİ")
@example("\n", "", "ﬀﬀﬀﬀ")
@example("x" * 197, "", SECRET)
def test_no_words_of_a_server_show_a_password(before: str, after: str, password: str) -> None:
    shown = describe_failure(
        NatsError(f"nats: '{before}{password}{after}'"), has_greeted=True, secrets=[password]
    )

    assert password not in shown.replace("(its words repeat a part of the login)", "")


@given(st.text(min_size=1))
@pytest.mark.parametrize("kind", [ValueError, OSError, ssl.SSLError, NatsError, UnicodeError])
def test_shows_no_text_of_an_exception_before_the_greeting(
    kind: type[Exception], text: str
) -> None:
    shown = describe_failure(kind(f"{SECRET}{text}"), has_greeted=False, secrets=[])

    assert SECRET not in shown


@pytest.mark.parametrize(
    ("exc", "words"),
    [
        (OSError(113, f"Connect call failed ('{SECRET}', 4222)"), "No route to host"),
        (
            OSError(f"Multiple exceptions: [Errno 101] {SECRET}, [Errno 113] {SECRET}"),
            "Network is unreachable, No route to host",
        ),
        (OSError(SECRET), "OSError"),
    ],
)
def test_names_the_errors_of_the_system(exc: OSError, words: str) -> None:
    shown = describe_failure(exc, has_greeted=False, secrets=[])

    assert shown == f"it cannot be reached ({words})"


@pytest.mark.parametrize(
    ("exc", "words"),
    [
        (None, outages.LOST),
        (UnexpectedEOF(), outages.LOST),
        (NatsError("nats: user authentication expired"), "it refuses the login"),
        (NatsError("nats: maximum connections exceeded"), "it refuses the connection"),
    ],
)
def test_says_why_a_connection_was_lost(exc: Exception | None, words: str) -> None:
    assert describe_loss(exc, [SECRET]).startswith(words)


def test_numbers_the_servers_if_their_reasons_differ() -> None:
    assert describe_round(["it is stuck", "it is stuck"]) == "it is stuck"
    assert describe_round(["it is stuck", "it is full"]) == (
        "server 1: it is stuck; server 2: it is full"
    )

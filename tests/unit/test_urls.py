# SPDX-License-Identifier: MIT
"""URLs that hold a login: decoded, or refused in a sentence that quotes nothing of them."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.urls import (
    PERCENT_ENCODING,
    Address,
    WrongUrl,
    parse_server_url,
    parse_server_urls,
    parse_url,
)

SECRET = "MyRealPassw0rd"
URL = f"postgresql://coach:{SECRET}@db.example.com:5432/gym"


def refusal(url: str, *schemes: str) -> str:
    with pytest.raises(WrongUrl) as refused:
        parse_url(url, *(schemes or ("postgresql",)))
    return str(refused.value)


def test_decodes_every_part() -> None:
    url = parse_url(
        "PostgreSQL://training%40gym:p%40ss%2F%25@db.example.com:6432/my%20gym?options=-c%20a%3Db",
        "postgresql",
    )

    assert (url.scheme, url.user, url.password) == ("postgresql", "training@gym", "p@ss/%")
    assert url.addresses == (Address("db.example.com", 6432),)
    assert (url.path, url.query) == ("/my gym", (("options", "-c a=b"),))


@pytest.mark.parametrize(
    ("login", "user", "password"),
    [
        ("", None, None),
        ("coach@", "coach", None),
        ("coach:@", "coach", ""),
        (":whistle@", "", "whistle"),
        ("coach:a:b@", "coach", "a:b"),
        ("coach:Größe 9@", "coach", "Größe 9"),
    ],
)
def test_reads_a_login(login: str, user: str | None, password: str | None) -> None:
    url = parse_url(f"nats://{login}broker", "nats")

    assert (url.user, url.password) == (user, password)


@pytest.mark.parametrize(
    ("hosts", "addresses"),
    [
        ("", []),
        ("db", [("db", None)]),
        ("db:", [("db", None)]),
        ("db_1:05432", [("db_1", 5432)]),
        ("a:5432,b,c:1", [("a", 5432), ("b", None), ("c", 1)]),
        ("[::1],[fe80::1%25eth0]:65535", [("::1", None), ("fe80::1%eth0", 65535)]),
        ("%2Frun%2Fpostgresql:5433", [("/run/postgresql", 5433)]),
    ],
)
def test_reads_hosts(hosts: str, addresses: list[tuple[str, int | None]]) -> None:
    url = parse_url(f"postgresql://coach@{hosts}/gym", "postgresql")

    assert [(each.host, each.port) for each in url.addresses] == addresses


@pytest.mark.parametrize(
    "port", ["0", "65536", "-1", "+5432", "5_432", "५४३२", "x", " 5432", "5432 ", "9" * 5000]
)
def test_refuses_what_is_not_a_port(port: str) -> None:
    assert "port is not a number from 1 to 65535" in refusal(f"postgresql://coach@db:{port}/gym")


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("a,,b", "empty"),
        ("a,", "empty"),
        (",b", "empty"),
        (":5432", "empty"),
        ("a..b", "empty or too long"),
        (".a", "empty or too long"),
        ("a" * 64, "empty or too long"),
        ("a b", "no host name has"),
        ("%40socket", "no host name has"),
        ("[db]", "IPv6"),
        ("[::1", "square brackets"),
        ("::1", "square brackets"),
    ],
)
def test_refuses_what_is_not_a_host(host: str, why: str) -> None:
    assert why in refusal(f"postgresql://coach@{host}/gym")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "does not begin with postgresql://"),
        ("postgresql:", "does not begin with postgresql://"),
        (f"host=db password={SECRET}", "does not begin with postgresql://"),
        (f"{SECRET}://db", "does not begin with postgresql://"),
        (URL.replace(SECRET, f"[{SECRET}]"), "remove those of a placeholder"),
        (URL.replace(SECRET, f"[{SECRET}"), "remove those of a placeholder"),
        (URL.replace(SECRET, f"{SECRET}\uff03"), "resembles"),
        (URL.replace(SECRET, f"{SECRET}%zz"), "hexadecimal"),
        (URL.replace(SECRET, f"{SECRET}%"), "hexadecimal"),
        (URL.replace(SECRET, f"{SECRET}%FF"), "UTF-8"),
        (URL.replace(SECRET, f"{SECRET}%ED%B3%BF"), "UTF-8"),
        (URL.replace(SECRET, f"{SECRET}%00"), "%00"),
        (URL.replace(SECRET, f"{SECRET}\n"), "line break"),
        (URL.replace(SECRET, f"{SECRET}\0"), "control character"),
        (URL.replace(SECRET, f"{SECRET}\udcff"), "control character"),
        *(
            (URL.replace(SECRET, f"{before}{delimiter}{SECRET}"), "percent-encoded")
            for delimiter in "@/?#"
            for before in ("pass", "12", "")
        ),
        (f"{URL}?{SECRET}", "name=value"),
        (f"{URL}?={SECRET}", "name=value"),
    ],
)
def test_refuses_a_malformed_url_without_quoting_it(url: str, why: str) -> None:
    sentence = refusal(url)

    assert why in sentence
    assert SECRET not in sentence


def test_says_how_to_write_every_delimiter() -> None:
    written = dict(re.findall("`(.)`(?: itself)? as `(%..)`", PERCENT_ENCODING))

    for delimiter, encoded in written.items():
        url = parse_url(f"postgresql://coach:{encoded}{SECRET}@db/gym", "postgresql")
        assert url.password == delimiter + SECRET
    assert set("@:/?#[],%") == set(written)


def test_a_refusal_has_no_other_exception_to_show() -> None:
    with pytest.raises(WrongUrl) as refused:
        parse_url(URL.replace(SECRET, f"{SECRET}%FF"), "postgresql")

    assert refused.value.__suppress_context__


@given(st.text(), st.text())
@example("[", "]")
@example("\uff03", "")
def test_no_part_of_a_url_is_quoted(before: str, after: str) -> None:
    for url in (before + SECRET + after, URL.replace(SECRET, before + SECRET + after)):
        try:
            shown = repr(parse_url(url, "postgresql"))
        except WrongUrl as exc:
            shown = f"{exc} {exc!r}"
        assert SECRET not in shown


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("nats://", "no host"),
        ("nats://a,b", "several hosts"),
        ("nats:///a", "no host"),
        ("nats://%2Fa", "a path"),
    ],
)
def test_a_server_has_one_host(url: str, why: str) -> None:
    with pytest.raises(WrongUrl, match=why):
        parse_server_url(url, "nats")


def test_reads_several_servers() -> None:
    urls = parse_server_urls("nats://a:b@x:4222, tls://y/", "nats", "tls")

    assert [(url.scheme, url.user, url.addresses[0].host) for url in urls] == [
        ("nats", "a", "x"),
        ("tls", None, "y"),
    ]


@pytest.mark.parametrize("rest", ["/path", "?a=b"])
def test_refuses_several_servers_with_a_path(rest: str) -> None:
    with pytest.raises(WrongUrl, match="path or parameters"):
        parse_server_urls(f"nats://a{rest},nats://b", "nats")

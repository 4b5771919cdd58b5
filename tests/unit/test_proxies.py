# SPDX-License-Identifier: MIT
"""service/bootstrap/proxies.py: which proxy the environment names for a URL."""

import pytest

from service.bootstrap.proxies import find_proxy
from service.bootstrap.settings import WrongSettings

PASSWORD = "whistle"

UNUSABLE = {
    "a SOCKS proxy": ("ALL_PROXY", f"socks5://coach:{PASSWORD}@127.0.0.1:1080"),
    "a SOCKS proxy, in lower case": ("all_proxy", "socks5h://127.0.0.1:1080"),
    "an old SOCKS proxy": ("http_proxy", "socks4://127.0.0.1:1080"),
    "another protocol": ("HTTP_PROXY", f"ftp://coach:{PASSWORD}@127.0.0.1:21"),
    "a port in words": ("HTTP_PROXY", f"http://coach:{PASSWORD}@127.0.0.1:squid"),
    "a port out of range": ("http_proxy", "127.0.0.1:99999"),
    "no host": ("HTTP_PROXY", f"http://coach:{PASSWORD}@"),
    "brackets of a placeholder": ("HTTP_PROXY", f"http://coach:[{PASSWORD}]@127.0.0.1:3128"),
    "a raw @ in the password": ("ALL_PROXY", f"http://coach:{PASSWORD}@1@127.0.0.1:3128"),
    "a raw # in the password": ("ALL_PROXY", f"http://coach:#{PASSWORD}@127.0.0.1:3128"),
}

LOOPBACK = [
    "http://localhost:8000",
    "http://LOCALHOST",
    "http://localhost.",
    "http://api.localhost",
    "http://127.0.0.1:8000",
    "http://127.1.2.3",
    "http://127.1",
    "http://[::1]:8000",
    "http://[::ffff:127.0.0.1]",
    "http://0.0.0.0:8000",
    "http://[::]:8000",
    "https://127.0.0.1",
]


@pytest.fixture
def proxies(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("HTTPS_PROXY", "http://coach:p%40ss@proxy.example")
    return monkeypatch


@pytest.mark.parametrize("url", LOOPBACK)
@pytest.mark.usefixtures("proxies")
def test_no_proxy_for_this_machine(url: str) -> None:
    assert find_proxy(url) is None


@pytest.mark.parametrize(
    ("url", "variable", "place"),
    [
        ("http://gym.example", "HTTP_PROXY", "http://proxy.example:3128"),
        ("https://gym.example", "HTTPS_PROXY", "http://proxy.example"),
        ("http://localhost.example", "HTTP_PROXY", "http://proxy.example:3128"),
        ("http://128.0.0.1", "HTTP_PROXY", "http://proxy.example:3128"),
    ],
)
@pytest.mark.usefixtures("proxies")
def test_the_proxy_of_the_scheme(url: str, variable: str, place: str) -> None:
    found = find_proxy(url)

    assert found
    assert (found.variable, str(found.proxy.url)) == (variable, place)


@pytest.mark.usefixtures("proxies")
def test_decodes_the_login() -> None:
    found = find_proxy("https://gym.example")

    assert found
    assert found.proxy.auth == ("coach", "p@ss")


def test_prefers_a_variable_in_lower_case(proxies: pytest.MonkeyPatch) -> None:
    proxies.setenv("http_proxy", "lower.example:8080")

    found = find_proxy("http://gym.example")

    assert found
    assert (found.variable, str(found.proxy.url)) == ("http_proxy", "http://lower.example:8080")


def test_takes_all_proxy_if_the_scheme_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://[2001:db8::1]:3128")

    found = find_proxy("https://gym.example")

    assert found
    assert (found.variable, found.proxy.url.host) == ("ALL_PROXY", "2001:db8::1")


@pytest.mark.parametrize("url", ["http://gym.example", "https://gym.example:8443"])
def test_no_proxy_without_variables(url: str) -> None:
    assert find_proxy(url) is None


@pytest.mark.parametrize(
    ("excluded", "url"),
    [
        ("gym.example", "http://gym.example"),
        ("gym.example", "http://api.gym.example"),
        (".gym.example", "http://api.gym.example"),
        ("other.example, gym.example", "http://gym.example:8000"),
        ("gym.example:8000", "http://gym.example:8000"),
        ("*", "http://gym.example"),
        ("10.0.0.0/8", "http://10.1.2.3"),
        ("10.1.2.3", "http://10.1.2.3:8000"),
        ("2001:db8::/32", "https://[2001:db8::1]"),
        ("[2001:db8::1]", "https://[2001:db8::1]:8443"),
    ],
)
@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
def test_no_proxy_for_what_no_proxy_names(
    proxies: pytest.MonkeyPatch, variable: str, excluded: str, url: str
) -> None:
    proxies.setenv(variable, excluded)

    assert find_proxy(url) is None


@pytest.mark.parametrize(
    ("excluded", "url"),
    [
        ("gym.example", "http://mygym.example"),
        ("gym.example:8000", "http://gym.example:9000"),
        ("10.0.0.0/8", "http://11.1.2.3"),
        ("a line that is none", "http://gym.example"),
    ],
)
def test_a_proxy_for_what_no_proxy_does_not_name(
    proxies: pytest.MonkeyPatch, excluded: str, url: str
) -> None:
    proxies.setenv("NO_PROXY", excluded)

    assert find_proxy(url)


@pytest.mark.parametrize(("variable", "value"), UNUSABLE.values(), ids=UNUSABLE)
def test_refuses_a_proxy_that_cannot_be_used_without_quoting_it(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(WrongSettings) as caught:
        find_proxy("http://gym.example")

    sentence = str(caught.value)
    assert sentence.startswith(f"{variable} ")
    assert len(sentence.splitlines()) == 1
    assert PASSWORD not in sentence
    assert find_proxy("http://localhost") is None

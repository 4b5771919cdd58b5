# SPDX-License-Identifier: MIT
"""Parses URLs that hold a login, and quotes nothing of them: any part may be the password.

The syntax is RFC 3986's; as in libpq, several hosts may be separated by commas. The parsers of the
standard library and of SQLAlchemy put parts of the URL into the texts of their exceptions.
"""

import ipaddress
import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import unquote

PERCENT_ENCODING = (
    "special characters of a user name or password must be percent-encoded: write `@` as `%40`,"
    " `:` as `%3A`, `/` as `%2F`, `?` as `%3F`, `#` as `%23`, `[` as `%5B`, `]` as `%5D`,"
    " `,` as `%2C` and `%` itself as `%25`"
)
PORT_MAX = 65_535

_DELIMITERS = frozenset("/?#@:[]%,")
_NOT_IN_A_HOST = re.compile(r"[\s/?#@\[\]\\]")


class WrongUrl(ValueError):
    """The message says what is wrong, and quotes nothing of the URL."""


@dataclass(frozen=True, slots=True)
class Address:
    """A host name, an IP address without brackets, or the directory of a Unix socket."""

    host: str
    port: int | None


@dataclass(frozen=True, slots=True, repr=False)
class Url:
    """The parts of a URL, decoded. An absent user or password is None, and may be empty too."""

    scheme: str
    user: str | None
    password: str | None
    addresses: tuple[Address, ...]
    path: str
    query: tuple[tuple[str, str], ...]

    def __repr__(self) -> str:
        return f"Url({self.scheme}://…)"


def parse_url(text: str, *schemes: str) -> Url:
    """Raises WrongUrl, also if the scheme is not one of `schemes`."""
    text = text.strip()
    _check_characters(text)
    scheme, separator, rest = text.partition("://")
    if not separator or scheme.lower() not in schemes:
        raise WrongUrl(f"it does not begin with {' or '.join(f'{each}://' for each in schemes)}")
    authority, path, query = _split(rest)
    login, at, hosts = authority.rpartition("@")
    user, colon, password = login.partition(":")
    _check_login(login)
    return Url(
        scheme=scheme.lower(),
        user=decode(user) if at else None,
        password=decode(password) if colon else None,
        addresses=tuple(_address(each) for each in hosts.split(",")) if hosts else (),
        path=decode(path),
        query=tuple(_parameter(each) for each in query.split("&") if each),
    )


def parse_server_url(text: str, *schemes: str) -> Url:
    """A URL of exactly one host. Raises WrongUrl."""
    url = parse_url(text, *schemes)
    if len(url.addresses) != 1:
        raise WrongUrl(f"it names {'several hosts' if url.addresses else 'no host'}")
    if url.addresses[0].host.startswith("/"):
        raise WrongUrl("its host is a path")
    return url


def parse_server_urls(text: str, *schemes: str) -> tuple[Url, ...]:
    """URLs separated by commas, each of one host and without a path. Raises WrongUrl."""
    urls = tuple(parse_server_url(each, *schemes) for each in text.split(","))
    if any(url.path.strip("/") or url.query for url in urls):
        raise WrongUrl(f"it has a path or parameters behind its host; {PERCENT_ENCODING}")
    return urls


def decode(text: str) -> str:
    """Raises WrongUrl if the percent-encoding is broken, or encodes something that is no text."""
    if re.search("%(?![0-9A-Fa-f]{2})", text):
        raise WrongUrl(f"it has a `%` without two hexadecimal digits after it; {PERCENT_ENCODING}")
    try:
        decoded = unquote(text, errors="strict")
        decoded.encode()
    except UnicodeError:
        raise WrongUrl("its percent-encoding is not that of text in UTF-8") from None
    if "\0" in decoded:
        raise WrongUrl("it has a `%00`, which neither a name nor a password can contain")
    return decoded


def _check_characters(text: str) -> None:
    """Refuses what other parsers remove in silence, or take for a delimiter."""
    if any(unicodedata.category(each) in {"Cc", "Cs"} for each in text):
        raise WrongUrl(f"it contains a line break or another control character; {PERCENT_ENCODING}")
    if any(_resembles_a_delimiter(each) for each in text if not each.isascii()):
        raise WrongUrl(
            f"it contains a character that resembles one of `/?#@:[]%,`; {PERCENT_ENCODING},"
            " and a character outside ASCII as its bytes in UTF-8"
        )


def _resembles_a_delimiter(character: str) -> bool:
    return not _DELIMITERS.isdisjoint(unicodedata.normalize("NFKC", character))


def _split(rest: str) -> tuple[str, str, str]:
    """Authority, path and query. A raw `@` behind the authority shows that it ended too early."""
    if "#" in rest:
        raise WrongUrl(f"it contains a `#`; {PERCENT_ENCODING}")
    authority = re.split("[/?]", rest, maxsplit=1)[0]
    path, _, query = rest[len(authority) :].partition("?")
    if "@" in path + query or authority.count("@") > 1:
        raise WrongUrl(f"it contains an `@` in the wrong place; {PERCENT_ENCODING}")
    return authority, path, query


def _check_login(login: str) -> None:
    if "[" in login or "]" in login:
        raise WrongUrl(
            "it has square brackets before its `@`: remove those of a placeholder such as"
            f" [YOUR-PASSWORD]; {PERCENT_ENCODING}"
        )


def _address(text: str) -> Address:
    bracketed = re.fullmatch(r"\[([^\[\]]*)\](?::(.*))?", text)
    if bracketed:
        return Address(_ipv6_address(decode(bracketed[1])), _port(bracketed[2]))
    host, _, given_port = text.partition(":")
    port = _port(given_port)  # first: what an IPv6 address without brackets has is no port
    return Address(parse_host(decode(host)), port)


def parse_host(text: str) -> str:
    """A host name, an IP address, or an absolute path, the directory of a Unix socket.

    Raises WrongUrl for a name that the resolver would refuse with an exception of its own.
    """
    if not text:
        raise WrongUrl("one of its hosts is empty")
    if text.startswith("/"):
        return text
    if ":" in text:
        return _ipv6_address(text)
    if _NOT_IN_A_HOST.search(text):
        raise WrongUrl(f"a host contains a character that no host name has; {PERCENT_ENCODING}")
    try:
        text.encode("idna")
    except UnicodeError:
        raise WrongUrl("a host is not a host name: a part of it is empty or too long") from None
    return text


def _ipv6_address(text: str) -> str:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        raise WrongUrl("a host with a colon or in brackets is not an IPv6 address") from None
    return text


def _port(text: str | None) -> int | None:
    if not text:
        return None
    try:
        return parse_port(text)
    except WrongUrl as exc:
        raise WrongUrl(
            f"{exc}; {PERCENT_ENCODING}, and an IPv6 address stands in square brackets"
        ) from None


def parse_port(text: str) -> int:
    """Raises WrongUrl. Python's `int` would take digits of other scripts, signs and spaces too."""
    if re.fullmatch("[0-9]{1,5}", text) and 0 < int(text) <= PORT_MAX:
        return int(text)
    raise WrongUrl(f"its port is not a number from 1 to {PORT_MAX}")


def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise WrongUrl(
            "it has a parameter that is not of the form `name=value`; in a value, write `&` as"
            " `%26` and `=` as `%3D`"
        )
    return decode(name), decode(value)

# SPDX-License-Identifier: MIT
"""Words for the causes why there is no connection to the database: network, TLS, login."""

import errno
import os
import re
import socket
import ssl
from urllib.parse import parse_qsl

import asyncpg

from service.persistence.causes import server_message
from service.persistence.database_url import DatabaseTarget

_BY_ERRNO = {
    errno.ECONNREFUSED: "{server} refuses the connection: no server listens there",
    errno.ETIMEDOUT: "{server} does not answer in time",
    errno.ENETUNREACH: "the network of {server} is unreachable from here",
    errno.EHOSTUNREACH: "{server} is unreachable from here",
    errno.EADDRNOTAVAIL: "{server} is unreachable: this host has no address that leads there",
    errno.EAFNOSUPPORT: "{server} is unreachable: this host does not support its kind of address",
    errno.ENOENT: "{server} does not exist: no server listens there",
    errno.EACCES: "this process may not connect to {server}",
    errno.EPERM: "this process may not connect to {server}",
    errno.EMFILE: "this process has too many open files",
    errno.ENFILE: "this host has too many open files",
}
_BY_VERIFY_CODE = {
    3: "sslcrl has no list of the authority that signed the certificate of {server}",
    9: "the certificate of {server} is not valid yet",
    10: "the certificate of {server} has expired",
    12: "the list in sslcrl has expired",
    23: "the certificate of {server} has been revoked",
    62: "the certificate of {server} is for another host name",
    64: "the certificate of {server} is for another IP address",
}
"""By OpenSSL's numbers, X509_V_ERR_…"""

_WRONG_AUTHORITY = (
    "the certificate of {server} is not signed by an authority that sslrootcert names"
)
_BY_TLS_REASON = {
    "NO_CERTIFICATE_OR_CRL_FOUND": "the file of sslrootcert or sslcrl is not in PEM format",
    "WRONG_VERSION_NUMBER": "{server} answers in something else than TLS",
    None: "sslcert and sslkey are not a certificate and its key in PEM format",
}
_BY_TEXT = {
    "root certificate": "the file ~/.postgresql/root.crt, which sslmode needs, cannot be read",
    "uthentication": "{server} asks for a kind of login that the driver cannot do",
}
_NOT_UNDERSTOOD = "the driver does not understand the answer of {server}"
_NO_TLS = "{server} does not offer TLS, which sslmode requires, or is no PostgreSQL server"
_NOT_POSTGRESQL = "{server} does not answer as a PostgreSQL server does"
_CLOSED = (
    "{server} closes the connection during the login without a reason: it may require TLS or a"
    " client certificate, or be no PostgreSQL server"
)
_NO_SUCH_NAME = "the name of {server} cannot be resolved"
_NO_NAME_SERVER = f"{_NO_SUCH_NAME}: the name server does not answer"
_BY_KIND: dict[type[BaseException] | tuple[type[BaseException], ...], str] = {
    (asyncpg.ConnectionDoesNotExistError, ConnectionResetError, BrokenPipeError): _CLOSED,
    UnicodeError: "{server} is not a host name",
    TimeoutError: _BY_ERRNO[errno.ETIMEDOUT],
}
_ABOUT_FILES = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES}
_HINTS = {
    "28P01": "wrong password, or no such role",
    "42704": "the URL has a parameter that the server does not know",
    "22023": "the URL has a parameter with a wrong value",
}


def server_name(target: DatabaseTarget) -> str:
    """The servers of a URL, with their ports."""
    return " or ".join(_address(host, port) for host, port in target.addresses)


def connect_cause(exc: BaseException, target: DatabaseTarget) -> str:
    """A clause that may name servers, roles and databases, but never the password."""
    return _words(exc, target).replace("{server}", server_name(target))


def _address(host: str, port: int) -> str:
    if host.startswith("/"):
        return f"{host}/.s.PGSQL.{port}"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _tls_parameters(target: DatabaseTarget) -> dict[str, str]:
    return dict(parse_qsl(str(target.arguments.get("dsn", "")).partition("?")[2]))


def _requires_tls(target: DatabaseTarget) -> bool:
    mode = _tls_parameters(target).get("sslmode", "verify-full")
    return mode in {"require", "verify-ca", "verify-full"}


def _unreadable_file(target: DatabaseTarget) -> str | None:
    """Files were readable at the start, but are read again for each connection."""
    given = _tls_parameters(target)
    for name in ("sslrootcert", "sslcrl", "sslcert", "sslkey"):
        if name in given and not os.access(given[name], os.R_OK):
            return f"the file of {name} cannot be read"
    return None


def _words(exc: BaseException, target: DatabaseTarget) -> str:
    for kinds, words in _BY_KIND.items():
        if isinstance(exc, kinds):
            return words
    if isinstance(exc, asyncpg.PostgresError):
        return _refusal(exc, target)
    if isinstance(exc, asyncpg.TargetServerAttributeNotMatched):
        return f"{{server}} is not {target.session_attributes}, as target_session_attrs demands"
    if isinstance(exc, OSError):
        return _os_words(exc, target)
    return next((words for part, words in _BY_TEXT.items() if part in str(exc)), _NOT_UNDERSTOOD)


def _refusal(exc: asyncpg.PostgresError, target: DatabaseTarget) -> str:
    message = server_message(exc)
    if message is None or _repeats_password(message, target):
        message = f"{{server}} refuses the login ({exc.sqlstate})"
    hint = _HINTS.get(exc.sqlstate or "")
    return f"{message} ({hint})" if hint else message


def _repeats_password(message: str, target: DatabaseTarget) -> bool:
    """PostgreSQL never does; what stands there may be another program."""
    password = target.arguments.get("password")
    for name in ("user", "database"):
        message = message.replace(str(target.arguments.get(name)), "")
    return bool(password) and str(password) in message


def _os_words(exc: OSError, target: DatabaseTarget) -> str:
    if isinstance(exc, ssl.SSLCertVerificationError):
        return _BY_VERIFY_CODE.get(exc.verify_code, _WRONG_AUTHORITY)
    if isinstance(exc, ssl.SSLError):
        return _BY_TLS_REASON.get(exc.reason) or f"TLS to {{server}} fails: {exc.reason}"
    if isinstance(exc, socket.gaierror):
        return _NO_NAME_SERVER if exc.errno == socket.EAI_AGAIN else _NO_SUCH_NAME
    if isinstance(exc, ConnectionError) and exc.errno is None:
        return _handshake_words(str(exc), target)
    unreadable = _unreadable_file(target) if exc.errno in _ABOUT_FILES else None
    return unreadable or _by_errno(exc)


def _handshake_words(message: str, target: DatabaseTarget) -> str:
    """asyncpg raises a plain ConnectionError for what precedes TLS and login."""
    if "rejected SSL upgrade" in message:
        return _NO_TLS if _requires_tls(target) else _NOT_POSTGRESQL
    if "error response" in message:
        return "{server} answers the request for TLS with an error, which its own log tells"
    return _CLOSED


def _by_errno(exc: OSError) -> str:
    """A host with several addresses gives one error with the numbers of all in its text."""
    numbers = [exc.errno] if exc.errno else map(int, re.findall(r"\[Errno (\d+)\]", str(exc)))
    words = dict.fromkeys(_BY_ERRNO.get(number) or _strerror(number) for number in numbers)
    return ", and ".join(words) or type(exc).__name__


def _strerror(number: int) -> str:
    return f"no connection to {{server}}: {os.strerror(number)}"

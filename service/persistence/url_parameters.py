# SPDX-License-Identifier: MIT
"""Which parameters of a database URL have an equivalent in the driver, and what others do.

libpq's are those of PostgreSQL's documentation, section 34.1.2. asyncpg would send the parameters
that it does not know to the server, as server settings.
"""

import difflib
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from service.urls import WrongUrl

TLS_PARAMETERS = frozenset({
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "sslpassword",
    "sslcrl",
    "sslnegotiation",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
})  # fmt: skip

SERVER_SETTINGS = frozenset({
    "application_name",
    "options",
    "search_path",
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "transaction_timeout",
    "work_mem",
    "jit",
    "timezone",
    "TimeZone",
})  # fmt: skip
"""Sent to the server. Other settings can be written in `options`, as for libpq."""

STATEMENT_CACHES = frozenset({"statement_cache_size", "prepared_statement_cache_size"})
"""Of asyncpg and of SQLAlchemy: 0 is what a pooler in transaction mode needs."""

_TRANSLATED = TLS_PARAMETERS | SERVER_SETTINGS | STATEMENT_CACHES | {
    "host",
    "hostaddr",
    "port",
    "user",
    "password",
    "passfile",
    "dbname",
    "database",
    "target_session_attrs",
    "load_balance_hosts",
    "connect_timeout",
    "fallback_application_name",
    "krbsrvname",
    "gsslib",
    "ssl",  # of JDBC, which libpq knows too, and of SQLAlchemy
    "pgbouncer",  # of Prisma
    "schema",  # of Prisma
}  # fmt: skip

_WITHOUT_EFFECT = frozenset({
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "gssdelegation",
    "sslcompression",
    "sslkeylogfile",
    "max_protocol_version",
    "connection_limit",
    "pool_timeout",
    "socket_timeout",
    "supa",
    "workaround",
    "uselibpqcompat",
})  # fmt: skip
"""They do no harm if they are ignored: the last are of Prisma, Supabase, Vercel and node-postgres.

The service itself closes a connection whose server has vanished.
"""


@dataclass(frozen=True, slots=True)
class _Unsupported:
    """A parameter that protects, or that decides which server or data the URL leads to.

    `met` are the values that the driver satisfies, `harmless` those that may be ignored.
    """

    instead: str = ""
    met: AbstractSet[str] = frozenset()
    harmless: AbstractSet[str] = frozenset()


_VERIFY = (
    "write `sslmode=verify-full&sslrootcert=system`, or the file of the certificate authority in"
    " `sslrootcert`, so that no other server learns the password"
)
_COMPLETE = "write the parameters of that service into the URL"
_LOGIN = "log in with a password or a certificate"

_UNSUPPORTED: Mapping[str, _Unsupported] = {
    "channel_binding": _Unsupported(_VERIFY, met={"disable"}, harmless={"prefer"}),
    "gssencmode": _Unsupported("use TLS", met={"disable"}, harmless={"prefer"}),
    "require_auth": _Unsupported(_VERIFY),
    "requirepeer": _Unsupported("let only that user write to the directory of the socket"),
    "requiressl": _Unsupported("write `sslmode=require`", met={"0"}),
    "sslaccept": _Unsupported(_VERIFY, harmless={"accept_invalid_certs"}),
    "sslidentity": _Unsupported("write `sslcert` and `sslkey`"),
    "sslcrldir": _Unsupported("write `sslcrl`, which names a file"),
    "sslcertmode": _Unsupported(met={"allow"}),
    "sslsni": _Unsupported(met={"1"}),
    "service": _Unsupported(_COMPLETE),
    "servicefile": _Unsupported(_COMPLETE),
    "replication": _Unsupported(met={"false", "off", "no", "0"}),
    "client_encoding": _Unsupported(met={"auto", "utf8", "UTF8", "utf-8", "UTF-8"}),
    "min_protocol_version": _Unsupported(met={"3.0"}),
    "scram_client_key": _Unsupported(_LOGIN),
    "scram_server_key": _Unsupported(_LOGIN),
    "oauth_issuer": _Unsupported(_LOGIN),
    "oauth_client_id": _Unsupported(_LOGIN),
    "oauth_client_secret": _Unsupported(_LOGIN),
    "oauth_scope": _Unsupported(_LOGIN),
}

KNOWN = _TRANSLATED | _WITHOUT_EFFECT | _UNSUPPORTED.keys()


def ignored_parameters(given: Mapping[str, str]) -> tuple[str, ...]:
    """Names of those that have no effect and do no harm.

    Raises WrongUrl if one is unknown, or would protect if the driver knew it.
    """
    if unknown := given.keys() - KNOWN:
        # A secret with an `&` looks like the beginning of another parameter.
        may_be_secret = not given.keys().isdisjoint({"password", "sslpassword"})
        raise WrongUrl(_unknown(min(unknown), may_be_secret=may_be_secret))
    return tuple(sorted(name for name, value in given.items() if _is_ignored(name, value)))


def _is_ignored(name: str, value: str) -> bool:
    unsupported = _UNSUPPORTED.get(name)
    if unsupported is None:
        return name in _WITHOUT_EFFECT or (name in STATEMENT_CACHES and value != "0")
    if value not in unsupported.met | unsupported.harmless:
        advice = f"remove it, and {unsupported.instead}" if unsupported.instead else "remove it"
        raise WrongUrl(f"the driver cannot do what its parameter `{name}` demands: {advice}")
    return value in unsupported.harmless


def _unknown(name: str, *, may_be_secret: bool) -> str:
    if may_be_secret or not re.fullmatch("[A-Za-z][A-Za-z0-9_.-]{0,62}", name):
        return "one of its parameters is unknown; in a value, write `&` as `%26`"
    close = difflib.get_close_matches(name.lower(), sorted(KNOWN), n=1)
    if close:
        return f"its parameter `{name}` is unknown; did you mean `{close[0]}`?"
    return (
        f"its parameter `{name}` is unknown; a setting of the server is written as"
        " `options=-c%20name%3Dvalue`"
    )

# SPDX-License-Identifier: MIT
"""Says in words why a NATS server cannot be used. Pure.

The words name no host and no login: any part of a URL may be secret. An exception's own text may
hold an address, so that it is never shown; what the server said is shown unless it repeats a login.
"""

import os
import re
import socket
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nats.errors import AuthorizationError, ProtocolError, SecureConnWantedError
from nats.errors import Error as NatsError

BREAKS_PROTOCOL = "it breaks the protocol of NATS"
ENDS = "it ends the connection"
LOST = "the connection is lost"
SILENT = "it does not answer"
NO_TLS = "its URL begins with tls://, but it offers no TLS"
NOT_NATS = (
    "it does not greet as a NATS server does: its port may be that of another program, or it"
    " expects TLS first, or it is stuck"
)
NO_CERTIFICATE = "it requires a certificate of the client, and the relay has none"
WORDS_MAX = 200
SHORT = 4

_ANOTHER_HOST = {62, 64}
"""X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH: their texts name the host."""

_ABOUT_THE_LOGIN = re.compile("authorization|authentication|credentials", re.IGNORECASE)
_OF_THE_SERVER = re.compile(
    "(user |account )?(authorization|authentication) (violation|failed|timeout|expired|revoked)"
    "|maximum (connections|account active connections) exceeded"
    "|permissions violation for (publish|subscription)",
    re.IGNORECASE,
)
"""Texts of nats-server that hold nothing of a client, although a login may resemble them."""

_DENIED = re.compile(r'permissions violation for (publish|subscription) to "([^"]*)"')


@dataclass(frozen=True, slots=True)
class Denied:
    """A subject that the server's permissions exclude, in small letters, as nats-py reports it."""

    verb: str
    subject: str


def find_denied(text: str) -> Denied | None:
    found = _DENIED.search(text.lower())
    return Denied(found[1], found[2]) if found else None


def describe_denial(verb: str, subject: str) -> str:
    """`subject`: the pattern that the permissions must include."""
    action = "publish" if verb == "publish" else "subscribe"
    return (
        f"its permissions do not let the relay {action} to {subject}"
        f' ("permissions violation for {verb}")'
    )


def describe_failure(exc: Exception, *, has_greeted: bool, secrets: Sequence[str]) -> str:
    """Why a connection could not be made. `has_greeted`: the server showed that it is NATS."""
    if isinstance(exc, SecureConnWantedError):
        return NO_TLS
    if isinstance(exc, TimeoutError):
        return SILENT
    if isinstance(exc, OSError):
        return _describe_system_error(exc)
    if not has_greeted:
        return NOT_NATS
    if isinstance(exc, NatsError):
        return describe_refusal(str(exc), secrets)
    return BREAKS_PROTOCOL


def is_cut_off(exc: Exception) -> bool:
    """Also after TLS began; whether the server's alert is seen depends on the event loop."""
    is_of_tls = isinstance(exc, ssl.SSLError) and not isinstance(exc, ssl.SSLCertVerificationError)
    return is_of_tls or isinstance(exc, ConnectionError)


def describe_loss(exc: Exception | None, secrets: Sequence[str]) -> str:
    """Why a connection ended. `exc`: as nats-py remembers it."""
    if isinstance(exc, ProtocolError):
        return BREAKS_PROTOCOL
    if isinstance(exc, AuthorizationError) or type(exc) is NatsError:
        return describe_refusal(str(exc), secrets)
    return LOST


def describe_refusal(text: str, secrets: Sequence[str]) -> str:
    """`text`: what nats-py made of the words of the server."""
    words = quote(text.removeprefix("nats: ").strip("'"), secrets)
    if not _ABOUT_THE_LOGIN.search(text):
        return f"it refuses the connection: {words}"
    return f"it refuses the login: {words}" if secrets else f"it requires a login: {words}"


def quote(text: str, secrets: Iterable[str]) -> str:
    """The words of a server, unless they repeat a part of the login."""
    shown = "".join(each if each.isprintable() else " " for each in text[:WORDS_MAX])
    is_harmless = _OF_THE_SERVER.fullmatch(shown)
    if not is_harmless and any(_repeats(text, each) for each in secrets):
        return "(its words repeat a part of the login)"
    return f'"{shown}"'


def _repeats(text: str, secret: str) -> bool:
    """A short name may also be a part of any word, so that it counts only as a whole word."""
    if len(secret) >= SHORT:
        return secret.lower() in text.lower()
    return bool(secret) and secret.lower() in re.findall(r"\w+|\S", text.lower())


def describe_round(reasons: Sequence[str]) -> str:
    """Why none of several servers can be used."""
    if len(set(reasons)) == 1:
        return reasons[0]
    return "; ".join(f"server {number}: {each}" for number, each in enumerate(reasons, start=1))


def _describe_system_error(exc: OSError) -> str:
    if isinstance(exc, ssl.SSLCertVerificationError):
        return _describe_certificate(exc)
    if isinstance(exc, ssl.SSLError):
        return f"TLS fails ({getattr(exc, 'reason', None) or type(exc).__name__})"
    if isinstance(exc, socket.gaierror):
        return f"its host name cannot be resolved ({exc.strerror})"
    if isinstance(exc, ConnectionRefusedError):
        return "it refuses the connection: no program listens on its port"
    if isinstance(exc, ConnectionError):
        return ENDS
    # With several addresses, asyncio gathers the texts of several errors in one without a number.
    numbers = {exc.errno} if exc.errno else set(map(int, re.findall(r"\[Errno (\d+)\]", str(exc))))
    causes = sorted(os.strerror(number) for number in numbers)
    return f"it cannot be reached ({', '.join(causes) or type(exc).__name__})"


def _describe_certificate(exc: ssl.SSLCertVerificationError) -> str:
    if exc.verify_code in _ANOTHER_HOST:
        return "its certificate is not for the host of its URL"
    return f"its certificate is not trusted ({exc.verify_message})"

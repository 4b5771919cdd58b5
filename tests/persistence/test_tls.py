# SPDX-License-Identifier: MIT
"""TLS as the URL demands it, through a server that speaks TLS in front of PostgreSQL."""

import ssl
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from sqlalchemy import text

from service.application.errors import DependencyUnavailable
from service.persistence.database_url import parse_database_url
from service.urls import WrongUrl
from tests.logins import PASSWORD, Gate
from tests.running import an_engine
from tests.tls import Authority, Certificate, ending_tls

KEY_PASSWORD = "MyRealPassw0rd/@"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def client_certificate(authority: Authority) -> Certificate:
    """With an encrypted key."""
    certificate = authority.certificate("coach")
    key = load_pem_private_key(certificate.key.read_bytes(), None)
    encryption = BestAvailableEncryption(KEY_PASSWORD.encode())
    certificate.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    return certificate


def url(port: int, query: str) -> str:
    return f"postgresql://coach:{PASSWORD}@localhost:{port}/postgres?{query}"


async def connects(url: str) -> bool:
    async with an_engine(url) as engine:
        try:
            async with engine.connect() as connection:
                return bool(await connection.scalar(text("SELECT true")))
        except DependencyUnavailable:
            return False


async def test_trusts_the_authorities_of_the_system_if_told_to(
    gate: Gate,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with ending_tls(gate.address, authority.certificate("localhost")) as port:
        assert not await connects(url(port, "sslrootcert=system"))
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        assert await connects(url(port, "sslrootcert=system"))
        assert not await connects(url(port, "sslrootcert=system").replace("localhost", "127.0.0.1"))


async def test_refuses_a_revoked_certificate(
    gate: Gate, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    certificate = authority.certificate("localhost")
    async with ending_tls(gate.address, certificate) as port:
        for root in ("system", f"{authority.file}&sslmode=verify-full"):
            for revoked, accepted in ([], True), ([certificate], False):
                query = f"sslrootcert={root}&sslcrl={authority.revocations(*revoked)}"
                assert await connects(url(port, query)) is accepted


@pytest.mark.parametrize("root", ["sslmode=require", "sslrootcert=system"])
async def test_shows_a_client_certificate_whose_key_is_encrypted(
    gate: Gate,
    authority: Authority,
    client_certificate: Certificate,
    monkeypatch: pytest.MonkeyPatch,
    root: str,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    shown = f"&sslcert={client_certificate.chain}&sslkey={client_certificate.key}"
    password = f"&sslpassword={quote(KEY_PASSWORD, safe='')}"
    certificate = authority.certificate("localhost")
    async with ending_tls(gate.address, certificate, client_authority=authority.file) as port:
        assert not await connects(url(port, root))
        assert await connects(url(port, root + shown + password))


@pytest.mark.parametrize("password", ["", "&sslpassword=wrong", f"&sslpassword={'a' * 2000}"])
def test_refuses_a_client_key_that_the_password_does_not_open(
    client_certificate: Certificate, password: str
) -> None:
    shown = f"sslcert={client_certificate.chain}&sslkey={client_certificate.key}"

    with pytest.raises(WrongUrl, match="needs another `sslpassword`"):
        parse_database_url(url(1, shown + password), {})


def test_refuses_a_client_certificate_with_the_key_of_another(authority: Authority) -> None:
    one, other = authority.certificate("coach"), authority.certificate("coach")

    with pytest.raises(WrongUrl, match="not a certificate and its key"):
        parse_database_url(url(1, f"sslcert={one.chain}&sslkey={other.key}"), {})


@pytest.mark.parametrize("mode", ["", "&sslmode=allow", "&sslmode=disable"])
def test_names_an_authority_that_the_mode_does_not_use(authority: Authority, mode: str) -> None:
    target = parse_database_url(url(1, f"sslrootcert={authority.file}{mode}"), {})

    assert target.ignored == ("sslrootcert",)


def test_an_authority_of_the_system_keeps_the_other_demands(authority: Authority) -> None:
    demands = "sslnegotiation=direct&ssl_min_protocol_version=TLSv1.3"
    arguments = parse_database_url(url(1, f"sslrootcert=system&{demands}"), {}).arguments

    assert arguments["direct_tls"]
    assert arguments["ssl"].minimum_version is ssl.TLSVersion.TLSv1_3
    assert arguments["ssl"].check_hostname

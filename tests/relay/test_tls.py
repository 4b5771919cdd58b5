# SPDX-License-Identifier: MIT
"""TLS to the broker: a certificate that is not trusted, or missing, is named as such."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from service.relay.outages import NO_CERTIFICATE, NO_TLS, NOT_NATS
from tests.nats_server import a_nats_server
from tests.relay.conftest import StartRelay
from tests.relay.reasons import reason_for
from tests.running import TestDatabase
from tests.tls import Authority, Certificate

HOST = "localhost"
ACCEPTED = "the stream TRAINING_SESSIONS is missing"
SCHEMES = pytest.mark.parametrize("scheme", ["tls", "nats"])


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """Trusted by this process, and by those that it starts."""
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    return authority


def tls(certificate: Certificate, more: str = "") -> str:
    return (
        f'tls {{\n cert_file: "{certificate.chain}"\n key_file: "{certificate.key}"\n {more}\n}}\n'
    )


@SCHEMES
async def test_connects_to_a_server_with_a_trusted_certificate(
    authority: Authority, scheme: str
) -> None:
    async with a_nats_server(tls(authority.certificate(HOST))) as server:
        assert await reason_for(server.url_with("", scheme=scheme, host=HOST)) == ACCEPTED


WRONG: dict[str, tuple[Callable[[Authority], Certificate], str]] = {
    "expired": (
        lambda authority: authority.expired(HOST),
        "its certificate is not trusted (certificate has expired)",
    ),
    "not yet valid": (
        lambda authority: authority.not_yet_valid(HOST),
        "its certificate is not trusted (certificate is not yet valid)",
    ),
    "for another host": (
        lambda authority: authority.certificate("gym.example.com"),
        "its certificate is not for the host of its URL",
    ),
}


@SCHEMES
@pytest.mark.parametrize(("make", "words"), WRONG.values(), ids=WRONG.keys())
async def test_names_what_is_wrong_with_a_certificate(
    authority: Authority, scheme: str, make: Callable[[Authority], Certificate], words: str
) -> None:
    async with a_nats_server(tls(make(authority))) as server:
        url = server.url_with("coach:whistle", scheme=scheme, host=HOST)
        assert await reason_for(url) == words


async def test_names_an_authority_that_is_not_trusted(tmp_path: Path) -> None:
    async with a_nats_server(tls(Authority(tmp_path).certificate(HOST))) as server:
        reason = await reason_for(server.url_with("", host=HOST))

    assert reason == "its certificate is not trusted (unable to get local issuer certificate)"


async def test_names_a_server_that_requires_a_certificate_of_the_client(
    authority: Authority,
) -> None:
    settings = tls(authority.certificate(HOST), f'verify: true\n ca_file: "{authority.file}"')
    async with a_nats_server(settings) as server:
        assert await reason_for(server.url_with("", host=HOST)) == NO_CERTIFICATE


async def test_uses_tls_that_a_server_only_offers_if_the_url_requires_it(
    authority: Authority,
) -> None:
    settings = tls(authority.certificate("gym.example.com")) + "allow_non_tls: true"
    async with a_nats_server(settings) as server:
        assert await reason_for(server.url_with("", scheme="nats", host=HOST)) == ACCEPTED
        reason = await reason_for(server.url_with("", scheme="tls", host=HOST))

    assert reason == "its certificate is not for the host of its URL"


async def test_names_a_server_without_tls_if_the_url_requires_it() -> None:
    async with a_nats_server() as server:
        assert await reason_for(server.url_with("", scheme="tls")) == NO_TLS


async def test_names_a_server_that_expects_tls_first(authority: Authority) -> None:
    settings = tls(authority.certificate(HOST), "handshake_first: true\n timeout: 0.5")
    async with a_nats_server(settings) as server:
        assert await reason_for(server.url_with("", scheme="tls", host=HOST)) == NOT_NATS


async def test_the_relay_names_a_certificate_that_is_not_trusted(
    database: TestDatabase, tmp_path: Path, a_relay: StartRelay
) -> None:
    """In its own process, whose event loop may be another one."""
    certificate = Authority(tmp_path).certificate(HOST)
    async with a_nats_server(tls(certificate)) as server:
        url = server.url_with("coach:whistle", scheme="tls", host=HOST)
        async with a_relay(nats_url=url, log_level="debug") as process:
            await process.line("unable to get local issuer certificate")
            process.signal(signal.SIGTERM)
            assert await process.end() == 0, process.output

    assert "whistle" not in process.output
    assert HOST not in process.output

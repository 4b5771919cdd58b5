# SPDX-License-Identifier: MIT
"""Certificates made for a test, and a server that ends TLS in front of PostgreSQL.

The embedded PostgreSQL is built without TLS.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.listening import listening

SSL_REQUEST = bytes.fromhex("0000000804d2162f")
CHUNK = 65_536
A_DAY = timedelta(days=1)
_NOW = datetime.now(UTC)


@dataclass(frozen=True)
class Certificate:
    """`chain` and `key` are files in PEM format."""

    chain: Path
    key: Path


class Authority:
    """Signs certificates; `file` is its own, for `sslrootcert`."""

    def __init__(self, place: Path, name: str = "gym authority") -> None:
        self._place = place
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        self.file = self._write(self._sign(name, self._key, is_authority=True), self._key).chain

    def certificate(
        self, host: str, *, begins: datetime = _NOW - A_DAY, ends: datetime = _NOW + A_DAY
    ) -> Certificate:
        key = ec.generate_private_key(ec.SECP256R1())
        return self._write(self._sign(host, key, begins=begins, ends=ends), key)

    def expired(self, host: str) -> Certificate:
        return self.certificate(host, begins=_NOW - 2 * A_DAY, ends=_NOW - A_DAY)

    def not_yet_valid(self, host: str) -> Certificate:
        return self.certificate(host, begins=_NOW + A_DAY, ends=_NOW + 2 * A_DAY)

    def revocations(self, *revoked: Certificate) -> Path:
        """A list of revoked certificates, for `sslcrl`."""
        made = x509.CertificateRevocationListBuilder().issuer_name(self._name)
        made = made.last_update(_NOW - A_DAY).next_update(_NOW + A_DAY)
        for each in revoked:
            number = x509.load_pem_x509_certificate(each.chain.read_bytes()).serial_number
            entry = x509.RevokedCertificateBuilder().serial_number(number).revocation_date(_NOW)
            made = made.add_revoked_certificate(entry.build())
        file = self._place / f"{len(revoked)}.crl"
        file.write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))
        return file

    def _sign(
        self,
        name: str,
        key: ec.EllipticCurvePrivateKey,
        *,
        begins: datetime = _NOW - A_DAY,
        ends: datetime = _NOW + A_DAY,
        is_authority: bool = False,
    ) -> x509.Certificate:
        return (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(_usage(is_authority=is_authority), critical=True)
            .add_extension(_identifier(key), critical=False)
            .add_extension(_identifier_of_issuer(self._key), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def _write(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Certificate:
        number = f"{certificate.serial_number:x}"
        files = Certificate(self._place / f"{number}.crt", self._place / f"{number}.key")
        files.chain.write_bytes(certificate.public_bytes(Encoding.PEM))
        files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        files.key.chmod(0o600)
        return files


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    """Python requires it, and the identifiers, from 3.13 on."""
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _identifier(key: ec.EllipticCurvePrivateKey) -> x509.SubjectKeyIdentifier:
    return x509.SubjectKeyIdentifier.from_public_key(key.public_key())


def _identifier_of_issuer(key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@asynccontextmanager
async def ending_tls(
    server: tuple[str, int], certificate: Certificate, *, client_authority: Path | None = None
) -> AsyncIterator[int]:
    """The port of a server that speaks TLS and passes on to `server`, which does not.

    `client_authority`: a client must have a certificate of this authority.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.chain, certificate.key)
    if client_authority:
        context.load_verify_locations(client_authority)
        context.verify_mode = ssl.CERT_REQUIRED

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            await _serve(reader, writer, context, server)

    async with listening(serve) as port:
        yield port


async def _serve(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    context: ssl.SSLContext,
    server: tuple[str, int],
) -> None:
    assert await reader.readexactly(len(SSL_REQUEST)) == SSL_REQUEST
    writer.write(b"S")
    await writer.start_tls(context)
    server_reader, server_writer = await asyncio.open_connection(*server)
    try:
        await asyncio.gather(_copy(reader, server_writer), _copy(server_reader, writer))
    finally:
        server_writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK):
        writer.write(data)
    writer.close()

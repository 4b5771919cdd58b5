# SPDX-License-Identifier: MIT
"""An issuer of tokens for tests: its keys, and the key set that it serves."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt import get_algorithm_by_name
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.builders import a_token
from tests.running import serving, test_settings


@dataclass(frozen=True)
class SigningKey:
    id: str
    algorithm: str
    private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

    @property
    def jwk(self) -> dict[str, Any]:
        public = get_algorithm_by_name(self.algorithm).to_jwk(self.private.public_key(), True)
        return public | {"kid": self.id, "alg": self.algorithm, "use": "sig"}

    @property
    def private_jwk(self) -> dict[str, Any]:
        private = get_algorithm_by_name(self.algorithm).to_jwk(self.private, True)
        return private | {"kid": self.id, "alg": self.algorithm, "use": "sig"}

    @property
    def public_pem(self) -> bytes:
        return self.private.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )

    def token(
        self, user_id: UUID | None = None, *, headers: dict[str, Any] | None = None, **claims: Any
    ) -> str:
        return a_token(
            user_id,
            key=self.private,
            algorithm=self.algorithm,
            headers={"kid": self.id} | (headers or {}),
            **claims,
        )


def an_es256_key(key_id: str) -> SigningKey:
    return SigningKey(key_id, "ES256", ec.generate_private_key(ec.SECP256R1()))


def an_rs256_key(key_id: str, *, bits: int = 2048) -> SigningKey:
    return SigningKey(key_id, "RS256", rsa.generate_private_key(65537, bits))


class Issuer:
    """Answers every request with `answer`, but not before the gate is open.

    `published`: the ids of the keys of each key set, with the time since when it is served.
    """

    def __init__(self, url: str, *keys: SigningKey) -> None:
        self.url = url
        self.fetches = 0
        self.asked = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.answer: ASGIApp
        self.published: list[tuple[float, frozenset[str]]] = []
        self.publish(*keys)

    def publish(self, *keys: SigningKey) -> None:
        self.published.append((monotonic(), frozenset(key.id for key in keys)))
        self.answer = JSONResponse({"keys": [key.jwk for key in keys]})

    def shut_gate(self) -> None:
        self.gate.clear()
        self.asked.clear()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.fetches += 1
        self.asked.set()
        await self.gate.wait()
        await self.answer(scope, receive, send)


NewIssuer = Callable[..., Issuer]


@asynccontextmanager
async def issuers() -> AsyncIterator[NewIssuer]:
    """A server for any number of issuers, each at a URL of its own."""
    app = Starlette()
    app.state.closing = asyncio.Event()
    async with serving(app, test_settings(database_url="postgresql://unused/none")) as url:

        def new(*keys: SigningKey) -> Issuer:
            path = f"/{len(app.routes)}"
            issuer = Issuer(f"{url}{path}/.well-known/jwks.json", *keys)
            app.mount(path, issuer)
            return issuer

        yield new
        app.state.closing.set()


@asynccontextmanager
async def an_issuer(*keys: SigningKey) -> AsyncIterator[Issuer]:
    async with issuers() as new_issuer:
        yield new_issuer(*keys)


async def hang(scope: Scope, _receive: Receive, _send: Send) -> None:
    """Never answers. A client that has left may have closed its sending half alone."""
    await scope["app"].state.closing.wait()


async def drip(_scope: Scope, receive: Receive, send: Send) -> None:
    """Sends one byte after the other, until the client gives up."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    left = asyncio.create_task(_left(receive))
    while not left.done():
        await send({"type": "http.response.body", "body": b" ", "more_body": True})
        await asyncio.wait([left], timeout=0.01)


async def break_off(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Sends less than its Content-Length announces."""
    announced = [(b"content-length", b"1000")]
    await send({"type": "http.response.start", "status": 200, "headers": announced})
    await send({"type": "http.response.body", "body": b'{"keys": ['})


async def _left(receive: Receive) -> None:
    message: Message = {"type": "http.request"}
    while message["type"] != "http.disconnect":
        message = await receive()

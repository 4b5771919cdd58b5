# SPDX-License-Identifier: MIT
"""Issuers of tokens: a secret (HS256), or a key that a server publishes (ES256)."""

import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from benchmarks.plan import ES256, HS256

KEY_ID = "benchmark"


@dataclass(frozen=True)
class Issuer:
    algorithm: str
    key: Any
    secret: str | None = None
    jwks_url: str | None = None

    def sign(self, claims: dict[str, Any]) -> str:
        return jwt.encode(claims, self.key, self.algorithm, headers={"kid": KEY_ID})


@contextmanager
def issuing(algorithm: str) -> Iterator[Issuer]:
    if algorithm == HS256:
        secret = secrets.token_hex(32)
        yield Issuer(HS256, secret, secret=secret)
        return
    key = ec.generate_private_key(ec.SECP256R1())
    public = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    with _publishing({"keys": [public | {"kid": KEY_ID, "alg": ES256, "use": "sig"}]}) as url:
        yield Issuer(ES256, key, jwks_url=url)


@contextmanager
def _publishing(key_set: dict[str, Any]) -> Iterator[str]:
    body = json.dumps(key_set).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/.well-known/jwks.json"
        finally:
            server.shutdown()
            thread.join()

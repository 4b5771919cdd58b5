# SPDX-License-Identifier: MIT
"""python -m benchmarks.tokens: what it costs to check a token, seen first and known."""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from statistics import median
from typing import Any
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from benchmarks.machine import warn_about_python
from service.bootstrap.clock import now
from service.http.auth import Authenticator
from service.http.jwks import read_keys
from service.http.key_set import KeySet
from service.http.token_refusals import RefusedTokens

TOKENS = 1000
SECRET = "a secret of the benchmark that is long enough"  # noqa: S105  it protects nothing
CLAIMS = {
    "iss": "https://abc.supabase.co/auth/v1",
    "aud": "authenticated",
    "role": "authenticated",
    "email": "runner@example.com",
    "app_metadata": {"provider": "email"},
    "is_anonymous": False,
}


class LocalKeySet(KeySet):
    """Has its keys from the start, and never fetches."""

    def __init__(self, keys: Sequence[Mapping[str, Any]]) -> None:
        self._local, _ = read_keys({"keys": list(keys)})

    async def find(self, key_id: str) -> jwt.PyJWK | None:
        return self._local.get(key_id)


def main() -> None:
    warn_about_python()
    asyncio.run(_measure())


async def _measure() -> None:
    curve_key = ec.generate_private_key(ec.SECP256R1())
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = [
        json.loads(ECAlgorithm.to_jwk(curve_key.public_key())) | {"kid": "ES256"},
        json.loads(RSAAlgorithm.to_jwk(rsa_key.public_key())) | {"kid": "RS256"},
    ]
    authenticator = Authenticator(
        secret=SECRET,
        key_set=LocalKeySet(public),
        audience="authenticated",
        issuer=None,
        refused=RefusedTokens(),
    )
    keys: dict[str, Any] = {"HS256": SECRET, "RS256": rsa_key, "ES256": curve_key}
    for algorithm, key in keys.items():
        tokens = [_token(key, algorithm) for _ in range(TOKENS)]
        first = await _microseconds(authenticator, tokens)
        known = await _microseconds(authenticator, tokens)
        print(f"{algorithm}: {first:.0f} us seen first, {known:.1f} us known")


def _token(key: Any, algorithm: str) -> str:
    issued = now()
    claims = CLAIMS | {"sub": str(uuid4()), "iat": issued, "exp": issued + timedelta(hours=1)}
    return f"Bearer {jwt.encode(claims, key, algorithm, headers={'kid': algorithm})}"


async def _microseconds(authenticator: Authenticator, tokens: Sequence[str]) -> float:
    """The median of one check."""
    times = []
    for token in tokens:
        begun = time.perf_counter()
        await authenticator.authenticate([token])
        times.append(time.perf_counter() - begun)
    return median(times) * 1e6


if __name__ == "__main__":
    main()

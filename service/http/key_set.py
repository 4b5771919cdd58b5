"""The key set that tokens are checked with (RFC 7517), fetched and kept."""

import asyncio
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx2
import structlog
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, RSAKey

from service.application.errors import DependencyUnavailable

KEY_SET_MAX_BYTES = 256 * 1024

_KINDS: dict[tuple[Any, Any], tuple[type[ECKey | RSAKey], str]] = {
    ("EC", "P-256"): (ECKey, "ES256"),
    ("RSA", None): (RSAKey, "RS256"),
}
"""What a key is, and which algorithm it is for, by its `kty` and `crv`."""

log = structlog.get_logger("service.jwks")


@dataclass(frozen=True, slots=True)
class PublicKey:
    key: ECKey | RSAKey
    algorithm: str


class KeySet:
    """The issuer's keys by their `kid`. Times in seconds.

    A set is good for `lifetime` and fetched anew, ahead of need, from half of it on. After a
    failed fetch it is good for `outage` longer, and nobody waits whose key is in it. One fetch
    at a time; `cooldown` between fetches for unknown keys, and after a failed one.
    """

    def __init__(
        self,
        client: httpx2.AsyncClient,
        url: str,
        *,
        lifetime: float,
        outage: float,
        cooldown: float,
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._url = url
        self._lifetime = lifetime
        self._outage = outage
        self._cooldown = cooldown
        self._timeout = timeout
        self._clock = clock
        self._keys: dict[str, PublicKey] = {}
        self._fetched_at = float("-inf")
        self._failed_at: float | None = None
        self._searched_at = float("-inf")
        self._fetch: asyncio.Task[None] | None = None

    async def find(self, key_id: str) -> PublicKey | None:
        """The key with this id; None where the issuer has no such key.

        Raises DependencyUnavailable where that cannot be known.
        """
        if self._is_too_old():
            await self._refresh()
        elif key_id not in self._keys:
            await self._search()
        elif self._age() > self._lifetime / 2:
            self._start_fetch()
        if self._is_too_old():
            raise DependencyUnavailable("key set")
        key = self._keys.get(key_id)
        if key is None and self._failed_at is not None:
            raise DependencyUnavailable("key set")
        return key

    async def close(self) -> None:
        if self._fetch:
            self._fetch.cancel()
            await asyncio.wait([self._fetch])

    def _age(self) -> float:
        return self._clock() - self._fetched_at

    def _is_too_old(self) -> bool:
        outage = self._outage if self._failed_at is not None else 0
        return self._age() > self._lifetime + outage

    async def _search(self) -> None:
        """For a key that may be newer than the set; anybody can make one up."""
        if self._clock() - self._searched_at >= self._cooldown or self._fetch:
            self._searched_at = self._clock()
            await self._refresh()

    async def _refresh(self) -> None:
        self._start_fetch()
        if self._fetch:
            # Unlike `await`, this neither cancels the fetch nor is cancelled with it.
            await asyncio.wait([self._fetch])

    def _start_fetch(self) -> None:
        if self._fetch:
            return
        if self._failed_at is not None and self._clock() - self._failed_at < self._cooldown:
            return
        self._fetch = asyncio.get_running_loop().create_task(self._fetch_and_keep())

    async def _fetch_and_keep(self) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                self._keys = _usable_keys(await self._download())
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError, RecursionError) as exc:
            self._failed_at = self._clock()
            log.warning("key set not fetched", error=type(exc).__name__)
        else:
            self._fetched_at = self._clock()
            self._failed_at = None
        finally:
            self._fetch = None

    async def _download(self) -> Any:
        body = b""
        # The time limit is the whole fetch's, not that of each read.
        async with self._client.stream("GET", self._url, timeout=None) as response:
            response.raise_for_status()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > KEY_SET_MAX_BYTES:
                    raise ValueError("the key set is too large")
        return json.loads(body)


def _usable_keys(key_set: Any) -> dict[str, PublicKey]:
    """Raises ValueError where this is no key set; leaves out what no token is checked with."""
    if not isinstance(key_set, dict) or not isinstance(key_set.get("keys"), list):
        raise ValueError("not a key set")  # noqa: TRY004  it came as text
    return {data["kid"]: key for data in key_set["keys"] if (key := _usable_key(data))}


def _usable_key(data: Any) -> PublicKey | None:
    """The library alone would take private keys, weak ones, and those of another curve."""
    if not isinstance(data, dict) or not isinstance(data.get("kid"), str) or "d" in data:
        return None
    try:
        kind, algorithm = _KINDS[data.get("kty"), data.get("crv")]
        if data.get("alg", algorithm) != algorithm or data.get("use", "sig") != "sig":
            return None
        with warnings.catch_warnings(action="error", category=SecurityWarning):
            return PublicKey(kind.import_key(data), algorithm)
    except (JoseError, SecurityWarning, LookupError, TypeError, ValueError):
        return None

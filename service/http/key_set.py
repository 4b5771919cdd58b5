"""The JSON Web Key Set (RFC 7517) that verifies tokens: fetched, kept, refreshed."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import httpx2
import structlog
from jwt import PyJWK, PyJWKSet
from jwt.exceptions import PyJWKSetError

from service.application.errors import DependencyUnavailable

KEY_SET_MAX_BYTES = 256 * 1024

_ALGORITHMS: dict[tuple[Any, Any], str] = {("EC", "P-256"): "ES256", ("RSA", None): "RS256"}
"""The algorithm of a key by its `kty` and `crv`."""

ASYMMETRIC_ALGORITHMS = frozenset(_ALGORITHMS.values())

log = structlog.get_logger("service.jwks")


class KeySet:
    """The issuer's keys by their `kid`. Times in seconds.

    A fetched set is valid for `lifetime`; from half of it on, the next use starts a new fetch in
    the background. After a failed fetch the set is valid for `outage` longer, and a key in it is
    found without waiting. One fetch runs at a time, with a pause of `cooldown` between fetches for
    unknown keys and after a failed fetch.
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
        self._keys: dict[str, PyJWK] = {}
        self._fetched_at = float("-inf")
        self._failed_at: float | None = None
        self._searched_at = float("-inf")
        self._fetch: asyncio.Task[None] | None = None

    async def find(self, key_id: str) -> PyJWK | None:
        """The key with this id, or None if the issuer has no such key.

        Raises DependencyUnavailable if the key set cannot be fetched.
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
        """Fetches a key that may be newer than the set. Any client can invent a key id."""
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
                self._keys = usable_keys(await self._download())
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
        # The caller limits the time of the whole fetch.
        async with self._client.stream("GET", self._url, timeout=None) as response:
            response.raise_for_status()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > KEY_SET_MAX_BYTES:
                    raise ValueError("the key set is too large")
        return json.loads(body)


def usable_keys(key_set: Any) -> dict[str, PyJWK]:
    """Raises ValueError if this is not a key set; leaves out keys that may verify no token."""
    if not isinstance(key_set, dict) or not isinstance(key_set.get("keys"), list):
        raise ValueError("not a key set")  # noqa: TRY004  the value came as text
    try:
        keys = PyJWKSet([data for data in key_set["keys"] if _may_verify(data)]).keys
    except PyJWKSetError:  # no usable key is left
        return {}
    return {str(key.key_id): key for key in keys if not key.Algorithm.check_key_length(key.key)}


def _may_verify(data: Any) -> bool:
    """PyJWT alone would also accept private keys and other curves and uses."""
    if not isinstance(data, dict) or not isinstance(data.get("kid"), str) or "d" in data:
        return False
    try:
        algorithm = _ALGORITHMS[data.get("kty"), data.get("crv")]
    except (KeyError, TypeError):
        return False
    return (data.get("alg", algorithm), data.get("use", "sig")) == (algorithm, "sig")

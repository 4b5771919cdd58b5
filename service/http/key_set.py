# SPDX-License-Identifier: MIT
"""The JSON Web Key Set (RFC 7517) that verifies tokens: fetched, kept, refreshed."""

import asyncio
import time
from collections.abc import Callable

import httpx2
import structlog
from jwt import PyJWK

from service.application.errors import DependencyUnavailable
from service.http.jwks import IgnoredKey, read_keys
from service.http.key_set_download import FETCH_ERRORS, download, status_of
from service.http.observing import KeySetFetch, ObserveKeySetFetch, ignore

LOGGED = 10
"""Most keys that a line of the log names."""

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
        observe: ObserveKeySetFetch = ignore,
    ) -> None:
        self._client = client
        self._observe = observe
        self._url = url
        self._lifetime = lifetime
        self._outage = outage
        self._cooldown = cooldown
        self._timeout = timeout
        self._clock = clock
        self._keys: dict[str, PyJWK] = {}
        self._ignored: list[IgnoredKey] | None = None
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
                self._keep(*read_keys(await download(self._client, self._url)))
        except FETCH_ERRORS as exc:
            self._failed_at = self._clock()
            self._observe(KeySetFetch.FAILED)
            log.warning("key set not fetched", error=type(exc).__name__, status=status_of(exc))
        else:
            self._fetched_at = self._clock()
            self._failed_at = None
            self._observe(KeySetFetch.OK)
        finally:
            self._fetch = None

    def _keep(self, usable: dict[str, PyJWK], ignored: list[IgnoredKey]) -> None:
        """Logs the keys that are ignored when they change, because their tokens are refused."""
        if ignored != self._ignored and (ignored or not usable):
            log.warning("keys of the key set ignored", usable=len(usable), ignored=ignored[:LOGGED])
        self._keys, self._ignored = usable, ignored

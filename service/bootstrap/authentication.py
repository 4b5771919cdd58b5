# SPDX-License-Identifier: MIT
"""Composes the check of tokens from settings."""

from contextlib import AsyncExitStack

import httpx2

from service.bootstrap.observers import NO_OBSERVERS, Observers
from service.bootstrap.proxies import client_options
from service.bootstrap.settings import Settings
from service.http.auth import Authenticator
from service.http.key_set import KeySet
from service.http.token_refusals import RefusedTokens


async def compose_authenticator(
    settings: Settings,
    stack: AsyncExitStack,
    refused: RefusedTokens,
    observers: Observers = NO_OBSERVERS,
) -> Authenticator:
    """`stack` closes the key set and its client."""
    secret = settings.jwt_secret
    return Authenticator(
        secret=secret.get_secret_value() if secret else None,
        key_set=await _key_set(settings, stack, observers),
        audience=settings.jwt_audience,
        issuer=settings.jwt_issuer,
        refused=refused,
        observe=observers.token_checks,
    )


async def _key_set(
    settings: Settings, stack: AsyncExitStack, observers: Observers
) -> KeySet | None:
    if settings.jwks_url is None:
        return None
    url = settings.jwks_url.get_secret_value()
    client = await stack.enter_async_context(httpx2.AsyncClient(**client_options(url)))
    key_set = KeySet(
        client,
        url,
        lifetime=settings.jwks_lifetime_seconds,
        outage=settings.jwks_outage_seconds,
        cooldown=settings.jwks_cooldown_seconds,
        timeout=settings.jwks_timeout_seconds,
        observe=observers.key_set_fetches,
    )
    stack.push_async_callback(key_set.close)
    return key_set

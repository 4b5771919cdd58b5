# SPDX-License-Identifier: MIT
"""The library's client, which sends commands as the relay writes them, and no login without TLS."""

import asyncio
from typing import Any

from nats.aio.client import Client
from nats.errors import ConnectionClosedError, SecureConnWantedError

CONNECT_SECONDS = 2


class RelayClient(Client):
    """`requires_tls`: sends nothing without TLS; the library would send the login."""

    def __init__(self, *, requires_tls: bool) -> None:
        super().__init__()
        self.has_greeted = False
        self.wants_certificate = False
        self._requires_tls = requires_tls

    @property
    def server_id(self) -> str:
        """Of the running server; another one after each of its starts."""
        return str(self._server_info.get("server_id", ""))

    @property
    def own_address(self) -> tuple[str | None, int | None]:
        """The server's own, which may differ from that of the URL."""
        return self._server_info.get("host"), self._server_info.get("port")

    async def send(self, commands: bytes) -> None:
        """Faster than the library's `publish`, which checks every character of the headers."""
        if not self.is_connected:
            raise ConnectionClosedError
        await self._send_command(commands)
        await self._flush_pending()

    async def flush_in_order(self) -> None:
        """Waits until the server has read all commands; the library's PING would overtake them."""
        while self.pending_data_size and self.is_connected:  # noqa: ASYNC110  no event tells it
            await asyncio.sleep(0)
        await self.flush(CONNECT_SECONDS)

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:  # noqa: FBT001, FBT002  the library's
        if initial_connection:
            self.has_greeted = True
            self.wants_certificate = bool(info.get("tls_verify"))
            if self._requires_tls and not (info.get("tls_required") or info.get("tls_available")):
                raise SecureConnWantedError
            self._server_info["tls_required"] = info.get("tls_required") or self._requires_tls
        await super()._process_info(info, initial_connection)

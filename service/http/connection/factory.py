# SPDX-License-Identifier: MIT
"""Makes connections."""

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from service.http.connection.limits import ConnectionLimits
from service.http.connection.pool import Pool
from service.http.connection.protocol import Connection


class ConnectionFactory:
    """Makes the connections of a server; uvicorn calls it as it would call a protocol class.

    uvicorn sends it to its worker processes, so it makes the pool only for the first connection.
    The app may say that it is stopping, with a function in its state.
    """

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self._pool: Pool | None = None

    def __call__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> Connection:
        if self._pool is None:
            is_stopping = app_state.get("is_stopping", _never)
            self._pool = Pool(self.limits, server_state.connections, is_stopping)
        return Connection(config, server_state, app_state, _loop, self._pool)


def _never() -> bool:
    return False

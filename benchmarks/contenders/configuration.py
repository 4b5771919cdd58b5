# SPDX-License-Identifier: MIT
"""The settings of both conventional Python contenders, and those of their connections."""

import os
from dataclasses import dataclass

TIMEOUTS = {
    "lock_timeout": "2s",
    "statement_timeout": "5s",
    "idle_in_transaction_session_timeout": "10s",
}
"""The limits of this service, given at login so that no transaction pays for them."""


@dataclass(frozen=True)
class Configuration:
    database_url: str
    pool_size: int
    secret: str | None
    jwks_url: str | None

    @classmethod
    def from_environment(cls) -> "Configuration":
        return cls(
            database_url=os.environ["DATABASE_URL"],
            pool_size=int(os.environ["POOL_SIZE"]),
            secret=os.environ.get("JWT_SECRET"),
            jwks_url=os.environ.get("JWKS_URL"),
        )

# SPDX-License-Identifier: MIT
"""Signs that a database URL leads to a pooler, although the setting for one is off."""

from dataclasses import dataclass

from service.persistence.database_url import Addresses

TRANSACTION_PORTS = {6432, 6543}
"""PgBouncer's and Supabase's for the transaction mode."""

_SUPABASE = ".pooler.supabase.com"
"""The end of the names of Supabase's poolers. At 5432 they are in session mode."""


@dataclass(frozen=True, slots=True)
class PoolerDoubt:
    event: str
    reason: str


def doubt_pooler(addresses: Addresses) -> PoolerDoubt | None:
    """A port of a transaction pooler says more than the name of a host."""
    for _, port in addresses:
        if port in TRANSACTION_PORTS:
            return PoolerDoubt(
                "transaction pooler suspected",
                f"poolers listen at port {port}; one in transaction mode needs the value true",
            )
    for host, port in addresses:
        if host.lower().rstrip(".").endswith(_SUPABASE):
            return PoolerDoubt(
                "check the mode of the connection",
                f"{host} is a pooler: in session mode, at port 5432, false is right (this is port"
                f" {port}), and each connection takes one of its pool; in transaction mode the"
                " value must be true",
            )
    return None

# SPDX-License-Identifier: MIT
"""Checks that pgbench writes the same rows under the same policies."""

from benchmarks.checks.expectations import DoesNotDoTheJob
from benchmarks.checks.failing import require_failed_once
from benchmarks.checks.rows import Rows
from benchmarks.fresh import Fresh
from benchmarks.load import LoadFailed
from benchmarks.pgbench import by_pgbench


def check_pgbench(rows: Rows, fresh: Fresh) -> None:
    """Uses up reserved sessions. Raises DoesNotDoTheJob."""
    first, second, *_ = fresh.reserved
    for _ in range(2):
        by_pgbench(rows.cluster, rows.database, first, clients=1)
        require_failed_once(rows, first)
    with rows.hidden_by_policy():
        try:
            by_pgbench(rows.cluster, rows.database, second, clients=1)
        except LoadFailed:
            return
    raise DoesNotDoTheJob("It sees what the policy hides.")

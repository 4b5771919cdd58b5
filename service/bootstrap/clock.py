# SPDX-License-Identifier: MIT
from datetime import UTC, datetime


def now() -> datetime:
    return datetime.now(UTC)

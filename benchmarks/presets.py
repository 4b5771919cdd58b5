# SPDX-License-Identifier: MIT
"""What `python -m benchmarks` measures, where its options say nothing else."""

from pathlib import Path
from typing import Any

from benchmarks.plan import ES256, FLOOD, HS256, KINDS, LOAD, METRICS, RECOVERY, RELAY

FULL: dict[str, Any] = {
    "parts": [LOAD, RECOVERY, FLOOD, RELAY, METRICS],
    "kinds": list(KINDS),
    "connections": [1, 64, 1000],
    "rows": [10_000],
    "algorithms": [HS256, ES256],
    "rounds": 3,
    "duration": 5,
    "warm_up": 1,
    "results": Path(".data/benchmarks/results.json"),
    "page": Path("docs/benchmarks.md"),
}
QUICK: dict[str, Any] = {
    "parts": [LOAD],
    "kinds": list(KINDS),
    "connections": [64],
    "rows": [10_000],
    "algorithms": [HS256],
    "rounds": 1,
    "duration": 2,
    "warm_up": 1,
    "results": Path(".data/benchmarks/quick.json"),
    "page": Path(".data/benchmarks/quick.md"),
}

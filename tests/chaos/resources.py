# SPDX-License-Identifier: MIT
"""Memory, open files and threads of the parts, before the faults and after them."""

from tests.chaos.installation import Installation
from tests.chaos.parts import Usage

MEMORY_BYTES = 150 * 2**20
FILES = 40
THREADS = 16


def usage(installation: Installation) -> dict[str, Usage]:
    return {part.name: part.usage() for part in installation.parts}


def grown(installation: Installation, before: dict[str, Usage]) -> list[str]:
    """A sentence for each part that has more than before, and more than a little."""
    found = []
    for name, now in usage(installation).items():
        limits = {"memory": MEMORY_BYTES, "files": FILES, "threads": THREADS}
        for kind, limit in limits.items():
            was, has = getattr(before[name], kind), getattr(now, kind)
            if has > was + limit:
                found.append(f"{name} has {has:,} of {kind}, and had {was:,}")
    return found

# SPDX-License-Identifier: MIT
"""The garbage collector, set for a process that serves for a long time."""

import gc

GARBAGE_THRESHOLD = 10_000
"""New objects between two collections: those of some requests, where Python's default is a few."""


def freeze_startup_objects() -> None:
    """Exempts the objects that exist now from collection: they live as long as the process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)

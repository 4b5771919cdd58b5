# SPDX-License-Identifier: MIT
"""How far long work has come, for people who wait for it."""

from typing import Protocol


class Progress(Protocol):
    def begin(self, task: str, total: int | None, unit: str) -> None:
        """Begins a task, and ends the one before. `total`: None if it is not known."""

    def advance(self, done: int) -> None: ...


class _NoProgress:
    def begin(self, task: str, total: int | None, unit: str) -> None:
        pass

    def advance(self, done: int) -> None:
        pass


NO_PROGRESS: Progress = _NoProgress()

# SPDX-License-Identifier: MIT
"""What the commands of a group came to, for observers."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from service.domain.events import SessionEvent


class Resolution(StrEnum):
    """What became of a command whose COMMIT may or may not have happened.

    `UNRESOLVED`: not known, because its time was over before the database could be asked.
    """

    COMMITTED = "committed"
    ROLLED_BACK = "rolled_back"
    UNRESOLVED = "unresolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedCommands:
    """Told when a command is settled, so that no attempt and no replay is counted twice.

    `events`: those that are certainly committed. `skipped`: commands to retry, because another
    transaction holds their session or their user. `resolutions`: of uncertain commits.
    """

    events: tuple[SessionEvent, ...] = ()
    skipped: int = 0
    resolutions: tuple[Resolution, ...] = ()


ObserveCommands = Callable[[ObservedCommands], None]


def ignore_commands(_observed: ObservedCommands) -> None:
    pass

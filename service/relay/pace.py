# SPDX-License-Identifier: MIT
"""The pauses of a relay, and the sizes of its turns."""

from dataclasses import dataclass

from service.relay.delivery import ATOMIC_MIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Times in seconds. `lease`: after so long without a sign of life another relay takes over."""

    batch_size: int
    in_flight: int
    poll_min: float
    poll_max: float
    lease: float

    def pause_after(self, taken: int, before: float) -> float:
        """The pause after a turn. `taken`: the events it read; `before`: the pause before it.

        A busy relay waits for more events, because a large batch costs less per event.
        """
        if taken == self.batch_size:
            return 0
        if taken >= ATOMIC_MIN:
            return self.poll_max
        if taken:
            return self.poll_min
        return min(max(2 * before, self.poll_min), self.poll_max)

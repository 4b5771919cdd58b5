# SPDX-License-Identifier: MIT
"""How many requests of each user wait, so that one user cannot fill the queue of all."""

from uuid import UUID

from service.application.errors import TooManyRequests


class UserQueues:
    """Counts the waiting requests of each user; `length_max` None allows any number.

    Holds only users with a request that waits, so the queue's bound is also that of the memory.
    """

    def __init__(self, length_max: int | None) -> None:
        self._length_max = length_max
        self._lengths: dict[UUID, int] = {}

    def __len__(self) -> int:
        return len(self._lengths)

    def require_room(self, user_id: UUID) -> None:
        """Raises TooManyRequests."""
        if self._length_max is not None and self._lengths.get(user_id, 0) >= self._length_max:
            raise TooManyRequests(self._length_max)

    def add(self, user_id: UUID) -> None:
        self._lengths[user_id] = self._lengths.get(user_id, 0) + 1

    def remove(self, user_id: UUID) -> None:
        left = self._lengths[user_id] - 1
        if left:
            self._lengths[user_id] = left
        else:
            del self._lengths[user_id]

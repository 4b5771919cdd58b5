# SPDX-License-Identifier: MIT
"""Errors that keep an event from reaching the stream."""


class RelayError(Exception):
    """The message is for people and holds no secret."""


class BrokerUnavailable(RelayError):
    """The broker is down, slow, full, or has no stream; a later retry may succeed."""


class StreamMissing(BrokerUnavailable):
    """The account has no such stream."""

    def __init__(self, stream: str) -> None:
        super().__init__(f"the stream {stream} is missing")


class WrongStream(RelayError):
    """The stream would lose or duplicate events; an operator must change it."""


class EventRefused(RelayError):
    """The stream refuses this event; a retry would not help."""


class EventConflict(EventRefused):
    """The stream holds another message in the place of this event.

    Only an operator can tell which of the two is right. `subject`, `sequence`: of that message.
    """

    def __init__(self, reason: str, *, subject: str, sequence: int) -> None:
        super().__init__(reason)
        self.subject = subject
        self.sequence = sequence

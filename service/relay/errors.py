"""Errors that keep an event from reaching the stream.

RelayError
├── BrokerUnavailable   the broker is down, slow, full, or has no stream; retry later
├── WrongStream         the stream would lose or duplicate events; an operator must change it
└── EventRefused        the stream refuses this event, and a retry would not help
"""


class RelayError(Exception):
    """The message is for people and holds no secret."""


class BrokerUnavailable(RelayError):
    """The message completes the sentence "The broker is not available: …"."""


class WrongStream(RelayError):
    pass


class EventRefused(RelayError):
    pass

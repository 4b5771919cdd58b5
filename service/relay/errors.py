"""Errors that keep an event from reaching the stream."""


class RelayError(Exception):
    """The message is for people and holds no secret."""


class BrokerUnavailable(RelayError):
    """The broker is down, slow, full, or has no stream; a later retry may succeed."""


class WrongStream(RelayError):
    """The stream would lose or duplicate events; an operator must change it."""


class EventRefused(RelayError):
    """The stream refuses this event; a retry would not help."""

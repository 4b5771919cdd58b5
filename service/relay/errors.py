"""What keeps an event from reaching the stream.

RelayError
├── BrokerUnavailable   no event's fault: down, slow, full, or without the stream; try again
├── WrongStream         the stream would lose or double events; somebody has to mend it
└── EventRefused        this event is not taken, and trying again would not help
"""


class RelayError(Exception):
    """The message is for people, and without secrets."""


class BrokerUnavailable(RelayError):
    """The message goes on after "The broker is not available:"."""


class WrongStream(RelayError):
    pass


class EventRefused(RelayError):
    pass

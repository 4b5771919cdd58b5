# SPDX-License-Identifier: MIT
"""Judges whether JetStream answers through a server. Pure: times are arguments, in seconds."""

from math import inf

from nats.aio.msg import Msg

_NO_RESPONDERS = "503"
_NO_LEADER = b'"err_code":10008'


class Responsiveness:
    """`limit`: the time limit for an answer.

    A request that was denied or cancelled, or that a lost connection ended, proves nothing.
    `substitute`: the last answer, if the server gave it in place of JetStream.
    """

    def __init__(self, limit: float) -> None:
        self.is_unresponsive = False
        self.substitute: Msg | None = None
        self._limit = limit
        self._answered_beginning = -inf
        self._substituted_since: float | None = None

    def note_answer(self, answer: Msg, *, began: float, now: float) -> None:
        """`began`: when the request was sent; of a late answer, any time since then."""
        if _is_of_jetstream(answer):
            self._answered_beginning = max(self._answered_beginning, began)
            self.is_unresponsive, self.substitute, self._substituted_since = False, None, None
            return
        self.substitute = answer
        if self._substituted_since is None:
            self._substituted_since = began
        if now >= self._substituted_since + self._limit:
            self.is_unresponsive = True

    def note_time_limit(self, *, began: float) -> None:
        """A request had no answer. If a later one was answered, the server is responsive."""
        if began > self._answered_beginning:
            self.is_unresponsive, self.substitute = True, None


def has_no_responder(answer: Msg) -> bool:
    return (answer.headers or {}).get("Status") == _NO_RESPONDERS


def _is_of_jetstream(answer: Msg) -> bool:
    """False if the server answers in place of a JetStream that it does not reach."""
    return not has_no_responder(answer) and _NO_LEADER not in answer.data

# SPDX-License-Identifier: MIT
"""A request that waits for its answer."""

import asyncio
from dataclasses import dataclass

from nats.aio.msg import Msg

from service.relay.errors import BrokerUnavailable


@dataclass(slots=True)
class Request:
    """`permission`: the pattern of subjects that permissions must include.

    `began`: when it was sent, by the clock of the event loop.
    """

    subject: str
    permission: str
    began: float
    answer: asyncio.Future[Msg]

    def settle(self, answer: Msg) -> None:
        if not self.answer.done():
            self.answer.set_result(answer)

    def fail(self, reason: str) -> None:
        if not self.answer.done():
            self.answer.set_exception(BrokerUnavailable(reason))

# SPDX-License-Identifier: MIT
"""Stops the demo on Ctrl-C, SIGTERM or SIGHUP, at any moment and however often they come."""

import signal
from types import FrameType


class StopRequestedError(Exception):
    pass


class StopRequest:
    """Notes Ctrl-C, SIGTERM and SIGHUP, for code that looks at it where it can stop.

    An exception from the handler could arrive in any line, and Python would print some of them
    and go on. A terminal that closes does not stop a demo under `nohup`.
    """

    def __init__(self) -> None:
        self.is_made = False

    def listen(self) -> None:
        signal.signal(signal.SIGINT, self._note)
        signal.signal(signal.SIGTERM, self._note)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            # uvicorn has handlers of its own for the other two, and none for SIGHUP.
            signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))

    def check(self) -> None:
        if self.is_made:
            raise StopRequestedError

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.is_made = True

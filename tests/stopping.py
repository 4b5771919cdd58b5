# SPDX-License-Identifier: MIT
"""Signals to a long run of the tests: it stops its servers and removes its disks and files."""

import signal

STOPPED = 130
"""The exit code of a run that was stopped."""


def stop_in_order() -> None:
    """SIGINT and SIGTERM raise KeyboardInterrupt, which asyncio.run makes a cancellation.

    Programs that a shell starts in the background have SIGINT ignored.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))

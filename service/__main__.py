# SPDX-License-Identifier: MIT
"""The entry of `python -m service`, and of `training-sessions` where the package is installed."""

import signal
import sys


def main() -> int:
    # Until a command handles Ctrl-C, it ends the process in silence, without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # the Makefile blocks it

    from service.cli import main as cli  # noqa: PLC0415  Ctrl-C during these slow imports

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())

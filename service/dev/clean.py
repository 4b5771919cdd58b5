# SPDX-License-Identifier: MIT
"""python -m service.dev.clean HOME: removes the data of the demo, unless it runs.

Needs nothing but Python: `make clean` must work in any state of the installation.
"""

import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from service.dev import homes
from service.dev.homes import UNFINISHED, DataInUseError, EmbeddedPostgresError
from service.dev.postgres import is_running

STOP_SECONDS = 60


def main(home: Path) -> None:
    for each in homes.possible_homes(home):
        if each.is_dir():
            _remove_or_exit(each)
    with suppress(OSError):  # it may be in use, or may not exist
        homes.HOMES_OF_ROOT.rmdir()


def _remove_or_exit(home: Path) -> None:
    try:
        remove(home)
    except DataInUseError as exc:
        sys.exit(f"{exc} Stop it with Ctrl-C first. Nothing has been removed.")
    except EmbeddedPostgresError as exc:
        sys.exit(str(exc))
    except OSError as exc:
        sys.exit(f"The data in {home} cannot be removed: {exc.strerror}.")


def remove(home: Path) -> None:
    """Removes the data in `home`, and stops a server that a killed process has left running there.

    Raises DataInUseError.
    """
    with homes.locked(home):
        data = home / "postgres"
        if is_running(data):
            _stop(int((data / "postmaster.pid").read_text().splitlines()[0]), data)
        if data.exists():
            data.rename(home / f"{UNFINISHED}removed")  # not half of it, if this is interrupted
        shutil.rmtree(home)


def _stop(postmaster: int, data: Path) -> None:
    """As `pg_ctl -m fast stop`, which may not be installed any more."""
    os.kill(postmaster, signal.SIGINT)
    deadline = time.monotonic() + STOP_SECONDS
    while (data / "postmaster.pid").exists():
        if time.monotonic() > deadline:
            raise EmbeddedPostgresError(f"PostgreSQL (process {postmaster}) does not stop.")
        time.sleep(0.05)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

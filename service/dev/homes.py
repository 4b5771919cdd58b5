# SPDX-License-Identifier: MIT
"""The directory that holds the data of an embedded PostgreSQL, and its lock.

PostgreSQL refuses to run as root, so for root its server runs as `nobody`, and must reach the data.
"""

import fcntl
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UNPRIVILEGED_USER = "nobody"
HOMES_OF_ROOT = Path("/var/lib/training-sessions")
UNFINISHED = "new-"
"""Begins the names of directories that are not whole yet, or no longer."""


class EmbeddedPostgresError(Exception):
    """The message says in one sentence why no server runs."""


class DataInUseError(EmbeddedPostgresError):
    """Another process uses the data."""


def actual_home(home: Path) -> Path:
    """The directory that holds the data of `home`: another one if `nobody` cannot reach `home`."""
    home = home.resolve()
    nearest = next(each for each in (home, *home.parents) if each.is_dir())
    return _home_of_root(home) if is_root() and not is_open_to_others(nearest) else home


def possible_homes(home: Path) -> list[Path]:
    """Where the data of `home` may be, whatever the modes of the directories above it were."""
    home = home.resolve()
    return [home, _home_of_root(home)] if is_root() else [home]


def _home_of_root(home: Path) -> Path:
    return HOMES_OF_ROOT / hashlib.sha256(str(home).encode()).hexdigest()[:12]


def make_reachable(home: Path) -> Path:
    """Makes the directory that holds the data of `home`. Raises EmbeddedPostgresError."""
    home = actual_home(home)
    try:
        for each in reversed([each for each in (home, *home.parents) if not each.exists()]):
            each.mkdir(exist_ok=True)
            if is_root():
                each.chmod(0o755)  # independent of root's umask
    except OSError as exc:
        raise _cannot_hold_the_data(home, exc) from None
    return home


@contextmanager
def locked(home: Path, *, used_by: str = "make run") -> Iterator[None]:
    """Raises DataInUseError if another process uses the data."""
    try:
        lock = (home / "lock").open("w")
    except OSError as exc:
        raise _cannot_hold_the_data(home, exc) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataInUseError(
                f"Another process is using the data in {home}."
                f" Is `{used_by}` open in another terminal?"
            ) from None
        for each in home.glob(f"{UNFINISHED}*"):  # a killed process has left it
            shutil.rmtree(each, ignore_errors=True)
        yield


def _cannot_hold_the_data(home: Path, exc: OSError) -> EmbeddedPostgresError:
    return EmbeddedPostgresError(f"{home} cannot hold the data: {exc.strerror}.")


def is_root() -> bool:
    return os.geteuid() == 0


def give_to_server(path: Path) -> None:
    if is_root():
        shutil.chown(path, UNPRIVILEGED_USER)


def is_open_to_others(path: Path) -> bool:
    """True if every user may reach this path and use it."""
    return all(each.stat().st_mode & stat.S_IXOTH for each in (path, *path.parents))

# SPDX-License-Identifier: MIT
"""The code of the previous version: of the last release, or else of the previous commit.

It comes from the history of git. An archive of the sources has none, and neither has a clone of one
commit: its tests then run with the present code in the place of the previous, and the end of the
run says so.
"""

import io
import subprocess
import tarfile
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PARTS = ("service", "migrations", "alembic.ini")
ADVICE = (
    "Without the history of git, the present version stood in for the previous one in the tests."
)


@cache
def revision() -> str | None:
    """The last tag of a release before the present commit, or else the commit before it."""
    release = ("describe", "--tags", "--abbrev=0", "--match", "v[0-9]*", "HEAD^")
    return _git(*release) or _git("rev-parse", "--verify", "--quiet", "HEAD^")


def directory(place: Path) -> Path:
    """Extracts the code to `place`, if there is any; returns the directory of the code to run."""
    if revision() is None:
        return ROOT
    content = subprocess.run(
        ["git", "archive", str(revision()), *PARTS], cwd=ROOT, capture_output=True, check=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        archive.extractall(place, filter="data")
    return place


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None

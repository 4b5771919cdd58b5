# SPDX-License-Identifier: MIT
"""Checkouts of this repository: a directory, or a revision in a directory of its own."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class NoCheckout(Exception):
    """The message says what was looked for."""


@contextmanager
def checkout_of(path_or_revision: str, repository: Path) -> Iterator[Path]:
    """Yields the directory; that of a revision is removed at the end. Raises NoCheckout."""
    path = Path(path_or_revision)
    if path.is_dir():
        yield path.resolve()
        return
    commit = _git(repository, "rev-parse", "--verify", "--quiet", f"{path_or_revision}^{{commit}}")
    if commit is None:
        raise NoCheckout(f"{path_or_revision} is neither a directory nor a revision.")
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as parent:
        directory = Path(parent) / "checkout"
        if _git(repository, "worktree", "add", "--detach", str(directory), commit) is None:
            raise NoCheckout(f"{path_or_revision} cannot be checked out.")
        try:
            yield directory
        finally:
            _git(repository, "worktree", "remove", "--force", str(directory))


def _git(repository: Path, *arguments: str) -> str | None:
    """The output, or None if git failed."""
    run = subprocess.run(  # noqa: S603  git
        ["git", "-C", str(repository), *arguments],  # noqa: S607  the git of PATH
        capture_output=True,
        text=True,
        check=False,
    )
    return None if run.returncode else run.stdout.strip()

# SPDX-License-Identifier: MIT
"""What the contenders in other languages need on this machine."""

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path


class NotHere(Exception):
    """The message says why a contender cannot take part on this machine."""


def require(name: str, title: str) -> str:
    """The path of a program. Raises NotHere."""
    path = shutil.which(name)
    if path is None:
        raise NotHere(f"{title} is missing")
    return path


def digest(files: Iterable[Path]) -> str:
    """Changes with the contents of the files."""
    contents = b"".join(each.read_bytes() for each in sorted(files))
    return hashlib.sha256(contents).hexdigest()[:8]

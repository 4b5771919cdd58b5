# SPDX-License-Identifier: MIT
"""A small disk that can be filled: a tmpfs, which only root may mount."""

import asyncio
import errno
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

CHUNK = b"\0" * 65_536


@dataclass(frozen=True)
class Disk:
    """`is_small`: its size is limited, so that it can be full."""

    place: Path
    is_small: bool

    @asynccontextmanager
    async def full(self) -> AsyncIterator[None]:
        """Fills and frees it in a thread: both take a while, and other tasks must go on."""
        ballast = self.place / "ballast"
        try:
            await asyncio.to_thread(_fill, ballast)
            yield
        finally:
            await asyncio.to_thread(ballast.unlink, missing_ok=True)


def _fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file:
        _write_until_full(file.fileno())


def _write_until_full(file: int) -> None:
    try:
        for chunk in (CHUNK, CHUNK[:4096], CHUNK[:1]):
            while True:
                try:
                    os.write(file, chunk)
                except OSError as exc:
                    if exc.errno != errno.ENOSPC:
                        raise
                    break
    finally:
        os.fsync(file)


@contextmanager
def a_disk(place: Path, size: int) -> Iterator[Disk]:
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", str(place)]
    is_small = os.geteuid() == 0 and subprocess.run(mount, check=False).returncode == 0
    try:
        yield Disk(place, is_small)
    finally:
        if is_small:
            subprocess.run(["umount", "--lazy", str(place)], check=True)

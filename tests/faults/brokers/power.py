# SPDX-License-Identifier: MIT
"""A disk that can lose what was not flushed, as at a power cut: ext4 in a file, for root.

The file holds what the file system has written to its device. What is only in the memory of the
system, because no program has flushed it and the system has not written it back, is not in a copy
of the file. A power cut while the file system writes is as well tested by its own journal.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.disks import Disk

SIZE_BYTES = 96 * 2**20


def can_cut_power() -> bool:
    return os.geteuid() == 0 and Path("/dev/loop-control").exists()


@contextmanager
def a_disk_that_loses_power(place: Path) -> Iterator[Disk]:
    place.mkdir()
    with _image(place).open("wb") as file:
        file.truncate(SIZE_BYTES)
    subprocess.run(["mkfs.ext4", "-q", str(_image(place))], check=True)
    _mount(place)
    try:
        yield Disk(place, is_small=True)
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def keep_what_was_flushed(disk: Disk) -> None:
    """Copies the device; the programs that use the disk must be frozen."""
    shutil.copyfile(_image(disk.place), _kept(disk.place))


def lose_the_rest(disk: Disk) -> None:
    """Puts the copy in the place of the disk; no program may use it any more."""
    subprocess.run(["umount", str(disk.place)], check=True)
    _kept(disk.place).replace(_image(disk.place))
    _mount(disk.place)


def _image(place: Path) -> Path:
    return place.with_suffix(".img")


def _kept(place: Path) -> Path:
    return place.with_suffix(".kept")


def _mount(place: Path) -> None:
    subprocess.run(["mount", "-o", "loop", str(_image(place)), str(place)], check=True)

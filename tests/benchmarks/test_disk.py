# SPDX-License-Identifier: MIT
import pytest

from benchmarks.disk import Disk


def test_a_disk_has_stalled_during_writes_that_took_over_50_ms() -> None:
    disk = Disk([2.0, 50.0, 130.0, 70.0, 3.0])

    assert disk.slowest == 130.0
    assert disk.stalled == pytest.approx(0.2)


def test_a_disk_that_was_not_probed_has_not_stalled() -> None:
    assert (Disk().slowest, Disk().stalled) == (0, 0)

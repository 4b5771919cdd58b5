# SPDX-License-Identifier: MIT
"""A run of the suite that is killed leaves no server behind."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.guardian import MARK
from tests.running import eventually
from tests.system.processes import ROOT, is_running
from tests.system.standing_still import PIDS


@pytest.mark.parametrize("workers", ["0", "1"], ids=["in one process", "with a worker"])
async def test_a_killed_run_leaves_no_server_behind(tmp_path: Path, workers: str) -> None:
    written = tmp_path / "pids"
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")
    }
    environment.pop(MARK)
    run = await asyncio.create_subprocess_exec(
        sys.executable,
        *(
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-n",
            workers,
            "tests/system/standing_still.py",
        ),
        env=environment | {PIDS: str(written)},
        cwd=ROOT,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await eventually(lambda: asyncio.to_thread(written.exists), tries=6000)
        pids = [int(each) for each in written.read_text().splitlines()]
        assert all(map(is_running, pids))
    finally:
        run.kill()
        await run.wait()

    await eventually(lambda: asyncio.to_thread(_have_ended, pids))


def _have_ended(pids: list[int]) -> bool:
    return not any(map(is_running, pids))

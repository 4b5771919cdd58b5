# SPDX-License-Identifier: MIT
"""make: installations that are interrupted, or run at once."""

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.system.checkout import READY, Checkout, a_python
from tests.system.processes import finished


@pytest.mark.parametrize("times", [1, 3])
async def test_ctrl_c_ends_the_installation_in_silence(checkout: Checkout, times: int) -> None:
    async with checkout.make("try", PIP_BREAKS="stand still") as process:
        await process.line("installing shoulder")
        for _ in range(times):
            os.killpg(process.running.pid, signal.SIGINT)
        assert await process.end() != 0
        interrupted = process.output
    again = await checkout.made("try")

    assert "Interrupted. The same command goes on from here." in interrupted
    assert "Traceback" not in interrupted
    assert (again.code, again.err) == (0, "")


async def test_ctrl_c_before_python_can_handle_it_prints_no_traceback(
    checkout: Checkout, tmp_path: Path
) -> None:
    """The stand-in for Python is one that takes long to start."""
    begin = 'test "$1" != requirements/install.py || { echo starting; kill -INT $$; }'
    checkout.python = a_python(tmp_path, f'{begin}; exec {sys.executable} "$@"')

    interrupted = await checkout.made("try")

    assert "starting" in interrupted.out
    assert interrupted.code != 0
    assert "Traceback" not in interrupted.err
    assert not list(checkout.place.rglob("shoulder.py"))


SAYS_IN_PARTS = """
import sys

print("cannot install", end=" ", flush=True)
open(sys.argv[2], "rb" if sys.argv[1] == "knee" else "wb")  # waits until the other has said it too
print(sys.argv[1], flush=True)
"""
TWO_AT_ONCE = """
import sys
from requirements.processes import run_all

says, meeting = sys.argv[1:]
commands = [[sys.executable, says, name, meeting] for name in ("shoulder", "knee")]
run_all(commands, 0, shown=True)
"""


async def test_lines_of_installations_at_once_do_not_mix(tmp_path: Path) -> None:
    """Without a buffer, Python writes each argument of `print` by itself."""
    says = tmp_path / "says.py"
    says.write_text(SAYS_IN_PARTS)
    os.mkfifo(tmp_path / "meeting")

    ran = await finished(
        "-c", TWO_AT_ONCE, str(says), str(tmp_path / "meeting"), command=(sys.executable,)
    )

    assert ran.out.splitlines() == ["cannot install shoulder", "cannot install knee"]


async def test_waits_for_another_installation(checkout: Checkout) -> None:
    async with checkout.make("try", PIP_BREAKS="stand still") as first:
        await first.line("installing shoulder")
        async with checkout.make("try") as second:
            await second.line("Waiting for another installation into .venv")
            os.killpg(first.running.pid, signal.SIGINT)

            assert await second.end() == 0
            assert READY in second.out

# SPDX-License-Identifier: MIT
"""make: whatever broke off an installation, the same command goes on from there."""

import hashlib
import os
import re
import signal
import sys
import zipfile
from pathlib import Path

import pytest

from service.dev import homes
from tests.system.checkout import READY, Checkout, a_checkout, without_ensurepip
from tests.system.processes import ROOT, finished

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return a_checkout(tmp_path)


async def test_installs_once_and_says_how_much(checkout: Checkout) -> None:
    first = await checkout.made("try")
    second = await checkout.made("try", PIP_BREAKS="network")

    assert (first.code, first.err) == (0, "")
    assert first.out == (
        f"Installing into .venv, once: about 190 MB, in a minute or two ...\n{READY}"
    )
    assert second.out == READY


BREAKS = {
    "the disk is full in ensurepip": ({"VENV_BREAKS": "disk"}, "The disk of .venv is full."),
    "killed in ensurepip": ({"VENV_BREAKS": "kill"}, "Killed"),
    "no network": ({"PIP_BREAKS": "network"}, "The package index cannot be reached."),
    "the disk is full in pip": ({"PIP_BREAKS": "disk"}, "The disk of .venv is full."),
    "killed in pip": ({"PIP_BREAKS": "kill"}, "Killed"),
}


@pytest.mark.parametrize(("breaks", "complaint"), BREAKS.values(), ids=BREAKS)
async def test_goes_on_after_an_installation_that_broke_off(
    checkout: Checkout, breaks: dict[str, str], complaint: str
) -> None:
    broken = await checkout.made("try", **breaks)
    again = await checkout.made("try")

    assert broken.code != 0
    assert complaint in broken.err
    assert "Traceback" not in broken.out + broken.err
    assert (again.code, again.out.endswith(READY), again.err) == (0, True, "")


@pytest.mark.parametrize(("breaks", "complaint"), BREAKS.values(), ids=BREAKS)
async def test_goes_on_after_an_update_that_broke_off(
    checkout: Checkout, breaks: dict[str, str], complaint: str
) -> None:
    await checkout.made("try")
    (checkout.place / "requirements" / "demo.txt").write_text("shoulder knee hip")

    await checkout.made("try", **breaks)
    again = await checkout.made("try")

    assert (again.code, again.err) == (0, "")
    assert (checkout.packages / "hip.py").read_text() == ""
    assert (checkout.packages / "knee.py").read_text() == ""


async def test_goes_on_when_the_missing_package_of_debian_is_installed(checkout: Checkout) -> None:
    lacking = await checkout.made("try", **without_ensurepip(checkout))
    again = await checkout.made("try")

    assert lacking.code != 0
    assert f"sudo apt install python{VERSION}-venv" in lacking.err
    assert len(lacking.err.splitlines()) == 2  # with that of make
    assert lacking.out == ""
    assert (again.code, again.err) == (0, "")


async def test_replaces_an_environment_without_pip(checkout: Checkout) -> None:
    (checkout.venv / "bin").mkdir(parents=True)
    (checkout.venv / "bin" / "python").symlink_to(sys.executable)

    made = await checkout.made("try")

    assert (made.code, made.err) == (0, "")


async def test_replaces_an_environment_whose_python_is_gone(checkout: Checkout) -> None:
    await checkout.made("try")
    (checkout.venv / "bin" / "python").unlink()
    (checkout.venv / "bin" / "python").symlink_to("/usr/bin/python3.2")

    made = await checkout.made("try")

    assert (made.code, made.err) == (0, "")
    assert READY in made.out


async def test_a_failed_installation_for_the_tests_does_not_stop_the_service(
    checkout: Checkout,
) -> None:
    """Without network, what is there already can be used."""
    await checkout.made("try")

    await checkout.made("format", PIP_BREAKS="network")
    made = await checkout.made("try", PIP_BREAKS="network")

    assert (made.code, made.out, made.err) == (0, READY, "")


async def test_installs_anew_if_an_installation_for_the_tests_was_killed(
    checkout: Checkout,
) -> None:
    await checkout.made("try")

    await checkout.made("format", PIP_BREAKS="kill")
    made = await checkout.made("try")

    assert made.code == 0
    assert made.out.startswith("Installing")
    assert made.out.endswith(READY)


async def test_says_which_file_is_in_its_way(checkout: Checkout) -> None:
    """The tests may run as root, who can write everywhere."""
    checkout.venv.touch()
    before = await checkout.made("try")
    checkout.venv.unlink()
    await checkout.made("try")
    (checkout.place / "requirements" / "demo.txt").touch()
    (checkout.venv / ".tmp").touch()
    within = await checkout.made("try")

    assert ".venv cannot be made: File exists." in before.err
    assert ".tmp: File exists.\nThe installation into .venv failed, see above." in within.err
    assert "Traceback" not in before.err + within.err


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
    checkout.python = _a_python(tmp_path, f'{begin}; exec {sys.executable} "$@"')

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
from requirements.install import _run

says, meeting = sys.argv[1:]
commands = [[sys.executable, says, name, meeting] for name in ("shoulder", "knee")]
_run(commands, 0, shown=True)
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


async def test_refuses_a_python_that_is_too_old(checkout: Checkout, tmp_path: Path) -> None:
    checkout.python = _a_python(tmp_path, "echo '3.9.18 (main, Aug 25 2023, 13:20:04)'")

    refused = await checkout.made("try")

    assert refused.code != 0
    assert f"Python 3.11 or newer is needed, and {checkout.python} is 3.9.18." in refused.err
    assert "make PYTHON=python3.13 try" in refused.err


@pytest.mark.parametrize("content", [None, "echo 'no such version' >&2; exit 127"])
async def test_says_what_to_install_without_python(
    checkout: Checkout, tmp_path: Path, content: str | None
) -> None:
    checkout.python = _a_python(tmp_path, content) if content else "python3-of-another-machine"

    refused = await checkout.made("try")

    assert refused.code != 0
    assert "does not run. On Debian and Ubuntu: sudo apt install python3" in refused.err


async def test_works_after_the_checkout_was_moved(checkout: Checkout) -> None:
    await checkout.made("try")
    checkout.place = checkout.place.rename(checkout.place.with_name("moved"))

    made = await checkout.made("try", PIP_BREAKS="network")

    assert (made.code, made.out, made.err) == (0, READY, "")


async def test_runs_no_tool_by_the_path_of_its_script() -> None:
    """A script names the Python of the directory in which it was installed."""
    goals = re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)

    shown = await finished(*goals, command=("make", "--dry-run"))

    assert shown.code == 0
    assert set(re.findall(r"\S*/bin/\S+", shown.out)) == {".venv/bin/python"}


async def test_clean_removes_the_installation_and_the_data(checkout: Checkout) -> None:
    await checkout.made("try")
    (checkout.place / ".data" / "postgres").mkdir(parents=True)

    cleaned = await checkout.made("clean")

    assert (cleaned.code, cleaned.err) == (0, "")
    assert not list(checkout.place.glob(".*"))


async def test_clean_refuses_while_the_service_runs_and_removes_nothing(
    checkout: Checkout,
) -> None:
    await checkout.made("try")
    data = checkout.place / ".data"
    data.mkdir()
    with homes.locked(data):
        refused = await checkout.made("clean")
        working = await checkout.made("try", PIP_BREAKS="network")

    assert refused.code != 0
    assert f"Another process is using the data in {data}." in refused.err
    assert "Traceback" not in refused.err
    assert data.exists()
    assert working.out == READY


async def test_clean_works_without_an_installation(checkout: Checkout) -> None:
    (checkout.venv / "bin").mkdir(parents=True)
    (checkout.place / ".data").mkdir()

    cleaned = await checkout.made("clean")

    assert (cleaned.code, cleaned.err) == (0, "")
    assert not list(checkout.place.glob(".*"))


async def test_the_real_pip_installs_what_an_attempt_without_it_left(checkout: Checkout) -> None:
    wheel = _a_wheel(checkout.place.parent)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    requirements = f"training-of-tests==1.0 --hash=sha256:{digest}"
    (checkout.place / "requirements" / "demo.txt").write_text(requirements)
    (checkout.venv / "bin").mkdir(parents=True)
    (checkout.venv / "bin" / "python").symlink_to(sys.executable)
    checkout.environment = {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheel.parent),
        "PIP_CONFIG_FILE": os.devnull,
    }

    made = await checkout.made("try")

    assert (made.code, made.err) == (0, "")
    assert READY in made.out


def _a_python(place: Path, script: str) -> str:
    python = place / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    return str(python)


def _a_wheel(place: Path) -> Path:
    wheel = place / "training_of_tests-1.0-py3-none-any.whl"
    information = "training_of_tests-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("shoulder.py", "")
        archive.writestr("knee.py", "")
        archive.writestr(
            f"{information}/METADATA",
            "Metadata-Version: 2.1\nName: training-of-tests\nVersion: 1.0\n",
        )
        archive.writestr(
            f"{information}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(f"{information}/RECORD", "")
    return wheel

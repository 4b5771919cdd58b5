# SPDX-License-Identifier: MIT
"""make: says which Python is missing, and installs with the one that is there."""

import hashlib
import os
import sys
import zipfile
from pathlib import Path

import pytest

from tests.system.checkout import READY, Checkout, a_python, without_ensurepip

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


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


async def test_refuses_a_python_that_is_too_old(checkout: Checkout, tmp_path: Path) -> None:
    checkout.python = a_python(tmp_path, "echo '3.9.18 (main, Aug 25 2023, 13:20:04)'")

    refused = await checkout.made("try")

    assert refused.code != 0
    assert f"Python 3.11 or newer is needed, and {checkout.python} is 3.9.18." in refused.err
    assert "make PYTHON=python3.13 try" in refused.err


@pytest.mark.parametrize("content", [None, "echo 'no such version' >&2; exit 127"])
async def test_says_what_to_install_without_python(
    checkout: Checkout, tmp_path: Path, content: str | None
) -> None:
    checkout.python = a_python(tmp_path, content) if content else "python3-of-another-machine"

    refused = await checkout.made("try")

    assert refused.code != 0
    assert "does not run. On Debian and Ubuntu: sudo apt install python3" in refused.err


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

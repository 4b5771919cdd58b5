# SPDX-License-Identifier: MIT
"""make: whatever broke off an installation, the same command goes on from there."""

import re

import pytest

from tests.system.checkout import READY, Checkout
from tests.system.processes import ROOT, finished


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

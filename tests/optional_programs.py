# SPDX-License-Identifier: MIT
"""Programs that some tests need, and that not every machine has.

Where one is missing, its tests are left out, and the end of the run says what to install.
SERVICE_TEST_REQUIRE=chromium makes that an error, so that CI cannot pass without them.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

REQUIRE = "SERVICE_TEST_REQUIRE"
TESTS = Path(__file__).parent


@dataclass(frozen=True)
class OptionalProgram:
    """`commands`: its names on PATH. `tests`: the directory or module that needs it."""

    name: str
    commands: tuple[str, ...]
    tests: Path
    install: str

    def find(self) -> str | None:
        return next(filter(None, map(shutil.which, self.commands)), None)

    def path(self) -> str:
        found = self.find()
        assert found, self.advice
        return found

    @property
    def advice(self) -> str:
        return f"{self.tests.stem} tests left out: {self.name} is missing. {self.install}"


CHROMIUM = OptionalProgram(
    name="chromium",
    commands=("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"),
    tests=TESTS / "browser",
    install="On Debian and Ubuntu: sudo apt install chromium",
)
PROMETHEUS, PROMTOOL = (
    OptionalProgram(
        name=name,
        commands=(name,),
        tests=TESTS / "prometheus",
        install="On Debian and Ubuntu: sudo apt install prometheus",
    )
    for name in ("prometheus", "promtool")
)
HAPROXY = OptionalProgram(
    name="haproxy",
    commands=("haproxy", "/usr/sbin/haproxy"),
    tests=TESTS / "haproxy",
    install="On Debian and Ubuntu: sudo apt install haproxy",
)
CURL, OPENSSL = (
    OptionalProgram(
        name=name,
        commands=(name,),
        tests=TESTS / "documents" / f"test_{name}_lines.py",
        install=f"On Debian and Ubuntu: sudo apt install {name}",
    )
    for name in ("curl", "openssl")
)
WRK = OptionalProgram(
    name="wrk",
    commands=("wrk",),
    tests=TESTS / "benchmarks" / "test_lived.py",
    install="On Debian and Ubuntu: sudo apt install wrk",
)
PROGRAMS = (CHROMIUM, PROMETHEUS, PROMTOOL, HAPROXY, CURL, OPENSSL, WRK)


def missing() -> list[OptionalProgram]:
    return [program for program in PROGRAMS if program.find() is None]


def check_required() -> None:
    """Raises UsageError if a program is missing that the environment requires."""
    required = os.environ.get(REQUIRE, "").split(",")
    for program in missing():
        if program.name in required:
            raise pytest.UsageError(f"{REQUIRE}: {program.advice}")


def is_left_out(path: Path) -> bool:
    return any(path == program.tests or program.tests in path.parents for program in missing())

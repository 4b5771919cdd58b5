# SPDX-License-Identifier: MIT
"""The files about the project name the same versions, Pythons, packages and authors."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from service import __version__

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DECLARED = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))


def test_the_workflow_runs_the_gates_on_every_declared_python() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())

    assert workflow["jobs"]["gates"]["strategy"]["matrix"]["python"] == DECLARED


def test_the_local_run_looks_for_every_declared_python() -> None:
    [minors] = re.findall(r"for minor in ([\d ]+);", (ROOT / ".ci/run").read_text())

    assert {each.removeprefix("3.") for each in DECLARED} <= set(minors.split())


def test_dependabot_watches_every_package_of_node() -> None:
    updates = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())["updates"]
    [npm] = [each for each in updates if each["package-ecosystem"] == "npm"]
    locked = [
        path.parent.relative_to(ROOT)
        for place in ("benchmarks", "deploy", "docs", "service", "tests")
        for path in (ROOT / place).rglob("package-lock.json")
        if "node_modules" not in path.parts
    ]

    assert sorted(npm["directories"]) == sorted(f"/{each}" for each in locked)


def test_the_authors_are_those_of_the_licence() -> None:
    [author] = PROJECT["authors"]

    assert (ROOT / "LICENSE").read_text().splitlines()[2].endswith(f" {author['name']}")


def test_the_changelog_has_the_version_and_what_came_after_it() -> None:
    sections = re.findall(r"^## \[(.+?)\](.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert sections[0] == ("Unreleased", "")
    assert sections[1][0] == __version__
    assert all(re.fullmatch(r" - \d{4}-\d\d-\d\d", date) for _, date in sections[1:])


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("docker-compose.yml", r"image: training-sessions:(\S+)"),
        ("deploy/kubernetes/kustomization.yaml", r"newTag: (\S+)"),
        ("docs/deploy.md", r"(?:newTag: |training-sessions:)(\d+\.\d+\.\d+)"),
    ],
)
def test_the_images_have_the_version(name: str, pattern: str) -> None:
    assert set(re.findall(pattern, (ROOT / name).read_text())) == {__version__}

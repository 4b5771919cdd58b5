# SPDX-License-Identifier: MIT
"""The image of Dockerfile, made without Docker: its files, packages, user and start."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from tests.system.compose import IMAGE_ENVIRONMENT, dockerfile, the
from tests.system.processes import ROOT, Process, a_public_directory, started

USER = int(the("USER").split(":")[0])


@dataclass(frozen=True)
class Image:
    """`app`: the working directory. `packages`: what requirements/runtime.txt installs."""

    app: Path
    packages: Path
    python: str
    user: int | None

    def started(
        self, *command: str, environment: Mapping[str, str]
    ) -> AbstractAsyncContextManager[Process]:
        """Runs a command of the image, whose first word is `python`."""
        assert command[0] == "python"
        own = {"PYTHONPATH": str(self.packages), "HOME": "/"}
        return started(
            *command[1:],
            command=[self.python, "-S"],  # without the packages of this machine
            environment={**IMAGE_ENVIRONMENT, **own, **environment},
            place=self.app,
            user=self.user,
        )


@contextmanager
def an_image() -> Iterator[Image]:
    """Nobody can write its files, as in a container whose root is read-only."""
    with a_public_directory() as place:
        app, packages = place / "app", place / "packages"
        _copy(app)
        packages.mkdir()
        for name in _installed_names():
            _link(name, packages)
        _chmod(place, directories=0o555, files=0o444)
        try:
            yield Image(app, packages, sys._base_executable, _user())  # type: ignore[attr-defined]  # noqa: SLF001  no virtual environment
        finally:
            _chmod(place, directories=0o755, files=0o644)


def _copy(app: Path) -> None:
    """As the COPY instructions do, and without what .dockerignore keeps out."""
    ignored = shutil.ignore_patterns("__pycache__")
    for instruction in dockerfile():
        if instruction.name == "COPY":
            source, target = (Path(word) for word in instruction.words.split())
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, app / target, ignore=ignored)
            else:
                (app / target).mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, app / target)


def _installed_names() -> list[str]:
    """Names in requirements/runtime.txt; those for other systems are not installed."""
    text = (ROOT / "requirements" / "runtime.txt").read_text()
    lines = re.findall(r"^([\w.-]+)==[^ ;]+(?: ; ([^\\]*))?", text, flags=re.MULTILINE)
    installed = {_normal(each.metadata["Name"]) for each in metadata.distributions()}
    missing = [name for name, marker in lines if _normal(name) not in installed and not marker]
    assert missing == []
    return [name for name, _ in lines if _normal(name) in installed]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _link(name: str, packages: Path) -> None:
    distribution = metadata.distribution(name)
    tops = {file.parts[0] for file in distribution.files or []}
    for top in tops - {"..", "__pycache__"}:
        if not (packages / top).exists():
            (packages / top).symlink_to(Path(str(distribution.locate_file(top))).resolve())


def _user() -> int | None:
    """The user of the image, if this one may become it and it can run this Python."""
    if os.geteuid() != 0:
        return None
    try:
        subprocess.run(
            [sys._base_executable, "-c", ""],  # type: ignore[attr-defined]  # noqa: SLF001  as above
            user=USER,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return USER


def _chmod(place: Path, *, directories: int, files: int) -> None:
    for path in [place, *place.rglob("*")]:
        if not path.is_symlink():
            path.chmod(directories if path.is_dir() else files)

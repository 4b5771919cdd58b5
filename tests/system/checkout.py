# SPDX-License-Identifier: MIT
"""A small checkout with the real Makefile, whose installation takes a moment and can be broken.

`python -m venv` and `pip` are stand-ins, which make the same files and break off when told.
"""

import shutil
import sys
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

from tests.system.processes import ROOT, Finished, Process, finished, started

READY = "The service is installed.\n"
SERVICE = f"""
import shoulder, knee
print({READY!r}, end="")
"""
PACKAGES = ("shoulder", "knee")

VENV = """
import os, shutil, signal, sys
from pathlib import Path

place, breaks = Path(sys.argv[-1]), os.environ.get("VENV_BREAKS")
for each in place.iterdir():
    shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()
(place / "bin").mkdir()
(place / "bin" / "python").symlink_to(sys._base_executable)
(place / "pyvenv.cfg").write_text(f"home = {Path(sys._base_executable).parent}")
packages = place / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
pip = packages / "pip"
pip.mkdir(parents=True)
if breaks == "disk":
    print("Error: [Errno 28] No space left on device")
    sys.exit(1)
if breaks == "kill":
    (pip / "__init__.py").write_text("import half_of_what_it_nee")
    os.kill(os.getppid(), signal.SIGKILL)
    sys.exit(1)
(pip / "__init__.py").touch()
shutil.copy(Path(__file__).parents[1] / "pip.txt", pip / "__main__.py")
"""

PIP = """
import os, signal, sys
from pathlib import Path

packages, breaks = Path(__file__).parents[1], os.environ.get("PIP_BREAKS")
if breaks == "network":
    print("WARNING: Retrying after connection broken by 'NewConnectionError'", file=sys.stderr)
    sys.exit(1)
for name in Path(sys.argv[-1]).read_text().split():
    (packages / f"{name}.py").unlink(missing_ok=True)  # as pip removes the older version
    if breaks:
        (packages / f"{name}.py").write_text("half of it is miss")
    if breaks == "disk":
        raise OSError("No space left on device")
    if breaks == "kill":
        os.kill(os.getppid(), signal.SIGKILL)
        sys.exit(1)
    if breaks == "stand still":
        print("installing", name, flush=True)
        signal.pause()
    (packages / f"{name}.py").touch()
"""


@dataclass
class Checkout:
    place: Path
    python: str = sys.executable
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def venv(self) -> Path:
        return self.place / ".venv"

    @property
    def packages(self) -> Path:
        [packages] = self.venv.glob("lib/python*/site-packages")
        return packages

    def make(self, *goals: str, **environment: str) -> AbstractAsyncContextManager[Process]:
        return started(*goals, command=self._command, environment=self.environment | environment)

    async def made(self, *goals: str, **environment: str) -> Finished:
        return await finished(
            *goals, command=self._command, environment=self.environment | environment
        )

    @property
    def _command(self) -> Sequence[str]:
        return ("make", "-C", str(self.place), "--no-print-directory", f"PYTHON={self.python}")


def a_checkout(place: Path) -> Checkout:
    fakes = place / "fakes"
    _write(fakes / "venv" / "__main__.py", VENV)
    _write(fakes / "venv" / "__init__.py", "")
    _write(fakes / "ensurepip" / "__init__.py", "")
    _write(fakes / "pip.txt", PIP)
    checkout = place / "checkout"
    _write(checkout / "service" / "__init__.py", "")
    _write(checkout / "service" / "__main__.py", SERVICE)
    shutil.copytree(ROOT / "service" / "dev", checkout / "service" / "dev")
    shutil.copy(ROOT / "Makefile", checkout)
    _write(checkout / "requirements" / "demo.txt", "\n".join(PACKAGES))
    _write(checkout / "requirements" / "dev.txt", "\n".join([*PACKAGES, "elbow"]))
    for name in ("install.py", "processes.py"):
        shutil.copy(ROOT / "requirements" / name, checkout / "requirements")
    return Checkout(checkout, environment={"PYTHONPATH": str(fakes)})


def without_ensurepip(checkout: Checkout) -> dict[str, str]:
    """The environment of a Python as Debian has it without the package python3-venv."""
    lacking = checkout.place.parent / "lacking"
    missing = "raise ModuleNotFoundError(\"No module named 'ensurepip'\", name='ensurepip')"
    _write(lacking / "ensurepip" / "__init__.py", missing)
    return {"PYTHONPATH": f"{lacking}:{checkout.environment['PYTHONPATH']}"}


def a_python(place: Path, script: str) -> str:
    """A stand-in for Python, as a script of the shell."""
    python = place / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    return str(python)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)

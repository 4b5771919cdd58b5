# SPDX-License-Identifier: MIT
"""Installs the packages of the contender in Node.js."""

import shutil
import subprocess
from pathlib import Path

from benchmarks.contenders.toolchains import NotHere, digest, require

FASTIFY = Path(__file__).parent / "fastify_pg"


def install(data: Path) -> None:
    """Raises NotHere."""
    executable()
    npm, place = require("npm", "npm"), home(data)
    place.mkdir(parents=True, exist_ok=True)
    shutil.copytree(
        FASTIFY, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules")
    )
    if (place / "node_modules").exists():
        return
    command = [npm, "ci", "--ignore-scripts", "--loglevel=error"]
    if subprocess.run(command, cwd=place, check=False).returncode:  # noqa: S603  npm
        raise NotHere("npm could not install its packages")


def executable() -> str:
    """Raises NotHere."""
    return require("node", "Node.js")


def home(data: Path) -> Path:
    """The directory of the installed packages; it changes with the lock file."""
    return data / "node" / digest([FASTIFY / "package-lock.json"])

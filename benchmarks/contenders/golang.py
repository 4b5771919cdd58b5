# SPDX-License-Identifier: MIT
"""Builds the contender in Go, with the libraries that Debian packages."""

import os
import subprocess
from pathlib import Path

from benchmarks.contenders.toolchains import NotHere, require

SOURCES = Path(__file__).parent / "go_pgx"
LIBRARIES = Path("/usr/share/gocode")
"""Where Debian puts the sources of libraries."""

PACKAGES = {
    "golang-github-jackc-pgx-v4-dev": "github.com/jackc/pgx/v4",
    "golang-github-golang-jwt-jwt-dev": "github.com/golang-jwt/jwt",
    "golang-golang-x-text-dev": "golang.org/x/text",
}


def build(data: Path) -> None:
    """Go compiles again only what has changed. Raises NotHere."""
    go, target = require("go", "Go"), binary(data)
    for package, path in PACKAGES.items():
        if not (LIBRARIES / "src" / path).is_dir():
            raise NotHere(f"the Debian package {package} is missing")
    target.parent.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"GO111MODULE": "off", "GOPATH": str(LIBRARIES)}
    command = [go, "build", "-o", str(target), "."]
    run = subprocess.run(  # noqa: S603  the Go compiler
        command, cwd=SOURCES, env=environment, capture_output=True, text=True, check=False
    )
    if run.returncode:
        raise NotHere(f"Go could not build it: {run.stderr.strip()}")


def binary(data: Path) -> Path:
    return (data / "go" / "go-pgx").resolve()

# SPDX-License-Identifier: MIT
"""A description of the machine."""

import os
import platform
import shutil
import subprocess
import sysconfig
from importlib.metadata import version
from pathlib import Path

import psutil

from benchmarks.cluster import Cluster

PACKAGES = ("uvicorn", "starlette", "sqlalchemy", "asyncpg", "pyjwt", "fastapi")

OPTIMISATIONS = ("--enable-optimizations", "--with-lto")
"""Options of CPython's configure; the first makes it faster by a tenth or more."""

DEBIAN = "--with-wheel-pkg-dir=/usr/share/python-wheels/"
"""An option of Debian's packages. They record the options of the shared library; the program is
built apart, with both optimisations (debian/rules: with_pgo, with_lto)."""


def described(cluster: Cluster) -> dict[str, str]:
    return {
        "Processor": f"{_processor()}, {os.cpu_count()} cores",
        "Memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "Kernel": f"{platform.system()} {platform.release()}",
        "PostgreSQL": cluster.value("postgres", "SHOW server_version"),
        "Python": f"{platform.python_version()}, {how_built(_configured())}",
        "Packages": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
        "Node.js": _first_line("node", "--version"),
        "Go": _first_line("go", "version"),
        "pgx": _debian_version("golang-github-jackc-pgx-v4-dev"),
        "Load generator": _first_line("wrk", "--version").partition(" Copyright")[0],
    }


def warn_about_python() -> str | None:
    """Prints a warning, and returns it, if this interpreter was built without optimisations."""
    if is_optimised(_configured()):
        return None
    warning = (
        f"The interpreter was built without `{OPTIMISATIONS[0]}`: this service and the other"
        " contenders in Python are slower than with a release build."
    )
    print(warning, flush=True)
    return warning


def how_built(configured: str) -> str:
    """`configured`: the arguments of CPython's configure."""
    if DEBIAN in configured:
        return "Debian's build, with profile-guided and link-time optimisation"
    given = [option for option in OPTIMISATIONS if option in configured]
    return f"built with {' and '.join(given)}" if given else "built without optimisations"


def is_optimised(configured: str) -> bool:
    return OPTIMISATIONS[0] in configured or DEBIAN in configured


def _configured() -> str:
    return str(sysconfig.get_config_var("CONFIG_ARGS") or "")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _debian_version(package: str) -> str:
    return _first_line("dpkg-query", "--show", "--showformat=${Version}", package)


def _first_line(*command: str) -> str:
    if not shutil.which(command[0]):
        return "not here"
    run = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  only asks for versions
    return (run.stdout or "not here").splitlines()[0]

# SPDX-License-Identifier: MIT
"""A description of the machine."""

import os
import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import psutil

from benchmarks.cluster import Cluster

PACKAGES = ("uvicorn", "starlette", "sqlalchemy", "asyncpg", "pyjwt", "fastapi", "pyjwt")


def described(cluster: Cluster) -> dict[str, str]:
    return {
        "Processor": f"{_processor()}, {os.cpu_count()} cores",
        "Memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "Kernel": f"{platform.system()} {platform.release()}",
        "PostgreSQL": cluster.value("postgres", "SHOW server_version"),
        "Python": platform.python_version(),
        "Packages": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
        "Node.js": _first_line("node", "--version"),
        "Load generator": _first_line("wrk", "--version").partition(" Copyright")[0],
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _first_line(*command: str) -> str:
    if not shutil.which(command[0]):
        return "not here"
    run = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  only asks for versions
    return (run.stdout or run.stderr).splitlines()[0]

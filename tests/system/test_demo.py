# SPDX-License-Identifier: MIT
"""python -m service demo: what it prints, keeps, refuses and stops."""

import asyncio
import os
import re
import shlex
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from service.dev.demo import usable_port
from tests.conformance import hold
from tests.http.bare import LIVEZ, assert_refuses, connected
from tests.running import eventually
from tests.system.processes import (
    PATIENCE_SECONDS,
    Process,
    a_public_directory,
    finished,
    free_port,
    half_a_request,
    is_running,
    started,
    url_in,
)

LINES_OF_A_SCREEN = 24
COLUMNS = 100
WITH_OTHER_HOMES_OF_ROOT = """
import sys
from pathlib import Path
from service.cli.main import main
from service.dev import homes

_, place, *arguments = sys.argv
homes.HOMES_OF_ROOT = Path(place)
sys.exit(main(arguments))
"""


CLEAN_OTHER_HOMES_OF_ROOT = """
import sys
from pathlib import Path
from service.dev import clean, homes

_, place, home = sys.argv
homes.HOMES_OF_ROOT = Path(place)
clean.main(Path(home))
"""
CLEAN = [sys.executable, "-S", "-m", "service.dev.clean"]
"""With no package but Python's own."""

INTERRUPTED = [
    sys.executable,
    "-c",
    """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
os.kill(os.getpid(), signal.SIGINT)
os.execv(sys.executable, [sys.executable, "-m", "service", *sys.argv[1:]])
""",
]


@dataclass
class Demo:
    process: Process

    @property
    def url(self) -> str:
        return url_in(self.process.output)

    @property
    def data(self) -> Path:
        return Path(self.process.output.partition("Data ")[2].split()[0])

    @property
    def postgres(self) -> int:
        """The id of PostgreSQL's process."""
        return _process_of(self.data / "postmaster.pid")

    @property
    def token(self) -> str:
        return self.process.output.partition("Bearer ")[2].partition("'")[0]

    @property
    def screen(self) -> list[str]:
        return [line.rstrip("\n") for line in self.process.out]

    def call(self) -> httpx2.Response:
        return replayed(self.curl)

    @property
    def curl(self) -> list[str]:
        """The words of the curl command that the demo printed."""
        _, _, rest = self.process.output.partition("curl ")
        return shlex.split(rest.partition("\n\n")[0].replace("\\\n", ""))


def replayed(curl: list[str]) -> httpx2.Response:
    show_headers, _, method, url, *rest = curl
    assert show_headers == "-i"
    options = list(zip(rest[::2], rest[1::2], strict=True))
    headers = dict(value.split(": ", 1) for name, value in options if name == "-H")
    body = "".join(value for name, value in options if name == "-d")
    answer = httpx2.request(method, url, headers=headers, content=body, timeout=PATIENCE_SECONDS)
    hold(answer)
    return answer


@pytest.fixture
async def home(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Path]:
    """A directory for the data of a demo; its PostgreSQL is stopped at the end."""
    with a_public_directory() as place:
        monkeypatch.setenv("TMPDIR", str(place))  # where a demo that is killed leaves a socket
        yield place
        for postgres in _left_running(place):
            with suppress(ProcessLookupError):  # it may just have stopped by itself
                os.kill(postgres, signal.SIGQUIT)
            await _gone(postgres)


@pytest.fixture
def port() -> int:
    return free_port()


@asynccontextmanager
async def a_demo(home: Path, port: int, **options: Any) -> AsyncIterator[Demo]:
    async with _starting(home, port, **options) as process:
        await process.line("Ctrl-C")
        try:
            yield Demo(process)
        finally:
            if not process.is_silent:
                process.signal(signal.SIGINT)
                await process.end()


@asynccontextmanager
async def _starting(home: Path, port: int, **options: Any) -> AsyncIterator[Process]:
    async with started(*_arguments(home, port), **options) as process:
        yield process


def _arguments(home: Path, port: int) -> list[str]:
    return ["demo", "--data", str(home), "--port", str(port)]


async def test_prints_its_address_and_how_to_stop_it(home: Path, port: int) -> None:
    async with a_demo(home, port) as demo:
        screen = demo.screen

    assert len(screen) <= LINES_OF_A_SCREEN
    usual = [  # wherever this machine keeps them
        line.replace(str(home), ".data").replace(sys.executable, ".venv/bin/python")
        for line in screen
    ]
    assert [line for line in usual if len(line) > COLUMNS and "Bearer" not in line] == []
    assert demo.url == f"http://127.0.0.1:{port}"
    assert demo.data == home / "postgres"
    assert "  Stop    Ctrl-C" in screen
    [metrics] = [line for line in screen if line.startswith("  Metrics http://127.0.0.1:")]
    assert metrics.endswith("/metrics")


async def test_shows_its_metrics_on_a_free_port_if_theirs_is_taken(home: Path, port: int) -> None:
    async with a_demo(home, port, environment={"SERVICE_METRICS_PORT": str(port)}) as demo:
        [url] = [line.split()[1] for line in demo.screen if line.startswith("  Metrics")]
        answer = httpx2.get(url, timeout=PATIENCE_SECONDS, trust_env=False)

    assert f":{port}/" not in url
    assert "training_session_transitions_total" in answer.text


async def test_the_printed_curl_command_fails_the_session_once(home: Path, port: int) -> None:
    async with a_demo(home, port) as demo:
        first, second = demo.call(), demo.call()

    assert first.status_code == 200
    assert first.json()["data"]["session"]["status"] == "failed"
    assert second.status_code == 409
    logged = [line for line in demo.screen if line.startswith("  POST")]
    assert [re.sub(r"\d+ ms", "1 ms", line) for line in logged] == [
        "  POST /sessions/…/fail 200 1 ms",
        "  POST /sessions/…/fail 409 1 ms",
    ]


async def test_the_page_begins_with_the_token_and_the_session(home: Path, port: int) -> None:
    async with (
        a_demo(home, port) as demo,
        httpx2.AsyncClient(base_url=demo.url, timeout=PATIENCE_SECONDS) as client,
    ):
        root = await client.get("/", follow_redirects=True)
        given = (await client.get("/docs/given.json")).json()
        elsewhere = {"Host": "evil.example"}
        rebound = await client.get("/docs/given.json", headers=elsewhere)

    assert (root.status_code, root.url.path) == (200, "/docs")
    assert 'data-given="docs/given.json"' in root.text
    assert given["token"] == demo.token
    assert f"/sessions/{given['parameters']['sessionId']}/fail" in demo.process.output
    assert rebound.status_code == 404


async def test_serves_on_a_terminal_that_knows_only_ascii(home: Path, port: int) -> None:
    async with a_demo(home, port, environment={"PYTHONIOENCODING": "ascii"}) as demo:
        assert demo.call().status_code == 200
        await demo.process.line("  POST /sessions/?/fail 200 ")


async def test_prints_the_command_that_plays_a_whole_life(home: Path, port: int) -> None:
    async with a_demo(home, port) as demo:
        [offer] = [line.split() for line in demo.screen if " try " in line]
        played = await finished(command=offer)

    assert (played.code, played.err) == (0, "")
    answers = re.findall(r"^    (\d{3}) [A-Z]", played.out, re.MULTILINE)
    assert " ".join(answers) == "201 200 409 200 201 200 200 200 409 200 304 200 200 200 200"
    assert played.out.count("Idempotent-Replayed: true") == 1
    assert max(map(len, played.out.splitlines())) <= COLUMNS


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_stops_the_demo_and_its_postgresql(
    home: Path, port: int, number: signal.Signals
) -> None:
    async with a_demo(home, port) as demo:
        postgres = demo.postgres
        demo.process.signal(number)

        assert await demo.process.end() == 0
        assert "Stopped. The data is kept." in demo.process.output
        assert _left_running(home) == []
        await _gone(postgres)


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("stage", ["lock", "postgres/postmaster.pid"])
async def test_ctrl_c_during_the_start_leaves_no_process_and_usable_data(
    home: Path, port: int, stage: str, times: int
) -> None:
    async with _starting(home, port) as process:
        await _made(home / stage)
        for _ in range(times):
            process.signal(signal.SIGINT)
        assert await process.end() == 0
        assert process.err == []
        assert _left_running(home) == []

    async with a_demo(home, port) as demo:
        assert demo.call().status_code == 200


async def test_ctrl_c_before_the_first_line_of_python_ends_the_demo_in_silence(
    home: Path, port: int
) -> None:
    """The signal waits, blocked, as it does under `make run` while Python starts."""
    async with started(*_arguments(home, port), command=INTERRUPTED) as process:
        assert await process.end() == -signal.SIGINT

    assert process.output == ""
    assert not _has_data(home)


async def test_ctrl_c_during_the_imports_ends_the_demo_in_silence(home: Path, port: int) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "service"]
    async with started(*_arguments(home, port), command=command) as process:
        await process.line("pydantic_settings")
        process.signal(signal.SIGINT)
        code = await process.end()

    assert code in {-signal.SIGINT, 0}  # 0 if the imports were over by then
    assert "Traceback" not in process.output
    assert _left_running(home) == []


async def test_ctrl_c_several_times_ends_the_demo_as_one_does(home: Path, port: int) -> None:
    async with a_demo(home, port) as demo, half_a_request(demo.url, demo.token):
        for _ in range(3):
            demo.process.signal(signal.SIGINT)

        assert await demo.process.end() == 0
        assert demo.process.out[-2:] == ["  Stopped. The data is kept.\n", "\n"]
        assert "Traceback" not in demo.process.output
        assert _left_running(home) == []


@pytest.mark.parametrize("stage", ["lock", "postgres/postmaster.pid", "jwt-secret"])
async def test_ctrl_c_stops_a_demo_that_began_in_the_background(
    home: Path, port: int, stage: str
) -> None:
    """A shell starts background jobs with SIGINT ignored."""
    command = ["sh", "-c", 'trap "" INT; exec "$0" -m service "$@"', sys.executable]
    async with _starting(home, port, command=command) as process:
        await _made(home / stage)
        process.signal(signal.SIGINT)

        assert await process.end() == 0
        assert _left_running(home) == []


async def test_goes_on_under_nohup_when_the_terminal_closes(home: Path, port: int) -> None:
    command = ["sh", "-c", 'trap "" HUP; exec "$0" -m service "$@"', sys.executable]
    async with a_demo(home, port, command=command) as demo:
        demo.process.signal(signal.SIGHUP)

        assert demo.call().status_code == 200


async def test_ctrl_c_does_not_wait_for_a_request_that_never_ends(home: Path, port: int) -> None:
    async with a_demo(home, port) as demo, half_a_request(demo.url, demo.token):
        demo.process.signal(signal.SIGINT)

        assert await demo.process.end() == 0


async def test_limits_connections_as_serve_does(home: Path, port: int) -> None:
    limits = {"SERVICE_HEAD_TIMEOUT_SECONDS": "0.2", "SERVICE_KEEP_ALIVE_SECONDS": "3600"}
    async with a_demo(home, port, environment=limits) as demo, connected(demo) as connection:
        await connection.send(LIVEZ)
        assert (await connection.answer()).status == 200
        await connection.send(LIVEZ[:-2])

        assert_refuses(await connection.answer(), 408, "REQUEST_TIMEOUT")


async def test_a_second_start_keeps_the_data_and_offers_another_session(
    home: Path, port: int
) -> None:
    async with a_demo(home, port) as first:
        assert first.call().status_code == 200
        first.process.signal(signal.SIGINT)
        await first.process.end()

    async with a_demo(home, port) as second:
        assert replayed(first.curl).status_code == 409
        assert second.call().status_code == 200


async def test_starts_again_after_it_was_killed(home: Path, port: int) -> None:
    async with a_demo(home, port) as killed:
        orphan = killed.postgres
        killed.process.signal(signal.SIGKILL)
        await killed.process.end()
        assert is_running(orphan)

    async with a_demo(home, port) as demo:
        await _gone(orphan)
        assert replayed(killed.curl).status_code == 200
        assert demo.call().status_code == 200


async def test_reports_that_the_port_is_taken_and_starts_no_server(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = await finished(*_arguments(home, port))

    assert done.code == 1
    assert f"Port {port} cannot be used" in done.err
    assert _suggested(done.err) > port
    assert not _has_data(home)


async def test_suggests_a_port_that_can_be_used(home: Path) -> None:
    with ExitStack() as stack:
        port = _neighbours(stack)
        done = await finished(*_arguments(home, port))

    assert done.code == 1
    assert _suggested(done.err) > port + 1


@pytest.mark.parametrize(("unusable", "least"), [(80, 8000), (1023, 8000), (65_535, 1024)])
def test_suggests_a_port_that_is_neither_forbidden_nor_out_of_range(
    unusable: int, least: int
) -> None:
    assert least <= usable_port(unusable) <= 65_535


async def test_reports_that_a_starting_demo_has_taken_the_port(home: Path, port: int) -> None:
    first, second = home / "first", home / "second"
    async with _starting(first, port) as process:
        await _made(first / "lock")
        done = await finished(*_arguments(second, port))
        await process.line("Ctrl-C")
        process.signal(signal.SIGINT)
        await process.end()

    assert done.code == 1
    assert f"Port {port} cannot be used" in done.err


async def test_reports_that_another_demo_uses_the_data(home: Path, port: int) -> None:
    async with a_demo(home, port) as first:
        second = await finished(*_arguments(home, free_port()))

        assert second.code == 1
        assert second.err == (
            f"Another process is using the data in {home}."
            " Is `make run` open in another terminal?\n"
        )
        assert first.call().status_code == 200


async def test_keeps_its_secret_in_the_data_directory(home: Path, port: int) -> None:
    """For root the data are elsewhere, if only root can enter the given directory."""
    private = home / "private"
    private.mkdir(mode=0o700)
    command = [sys.executable, "-c", WITH_OTHER_HOMES_OF_ROOT, str(home / "homes")]
    async with a_demo(private / "data", port, command=command) as demo:
        assert demo.call().status_code == 200
        assert (demo.data.parent / "jwt-secret").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        ("demo", "70000"),
        ("demo", "-1"),
        ("demo", "abc"),
        ("demo", ""),
        ("demo", "\uff18000"),
        ("demo", "8000.5"),
        ("try", "8000 "),
    ],
)
async def test_refuses_an_invalid_port_and_says_the_range(command: str, wrong: str) -> None:
    done = await finished(command, f"--port={wrong}")

    assert done.code == 2
    assert f"'{wrong}' is not a port, which is a number from 1 to 65535" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    "left", ["", "0123456789abcdef"], ids=["an empty secret", "half of a secret"]
)
async def test_replaces_a_secret_that_an_earlier_start_did_not_write(
    home: Path, port: int, left: str
) -> None:
    (home / "jwt-secret").write_text(left)

    async with a_demo(home, port) as demo:
        assert demo.call().status_code == 200


async def test_removes_what_a_killed_start_left(home: Path, port: int) -> None:
    half = home / "new-cluster" / "postgres"
    half.mkdir(parents=True)

    async with a_demo(home, port) as demo:
        assert demo.call().status_code == 200
        assert not half.parent.exists()


async def test_clean_refuses_while_the_demo_runs(home: Path, port: int) -> None:
    async with a_demo(home, port) as demo:
        refused = await finished(command=[*CLEAN, str(home)])

        assert refused.code == 1
        assert "Stop it with Ctrl-C first. Nothing has been removed." in refused.err
        assert demo.call().status_code == 200


async def test_clean_stops_the_postgresql_of_a_killed_demo(home: Path, port: int) -> None:
    async with a_demo(home / "data", port) as demo:
        orphan = demo.postgres
        demo.process.signal(signal.SIGKILL)
        await demo.process.end()

    cleaned = await finished(command=[*CLEAN, str(home / "data")])

    assert (cleaned.code, cleaned.out, cleaned.err) == (0, "", "")
    assert "data" not in _names(home)
    await _gone(orphan)


async def test_clean_removes_data_that_are_elsewhere(home: Path, port: int) -> None:
    """For root the data are elsewhere, if only root can enter the given directory."""
    private = home / "private"
    private.mkdir(mode=0o700)
    homes = str(home / "homes")
    command = [sys.executable, "-c", WITH_OTHER_HOMES_OF_ROOT, homes]
    async with a_demo(private / "data", port, command=command) as demo:
        data = demo.data

    cleaned = await finished(
        command=[sys.executable, "-c", CLEAN_OTHER_HOMES_OF_ROOT, homes, str(private / "data")]
    )

    assert (cleaned.code, cleaned.err) == (0, "")
    assert not data.exists()
    assert _names(home) == ["private"]


def _neighbours(stack: ExitStack) -> int:
    """Takes two ports, of which this is the first."""
    while True:
        port = free_port()
        try:
            for each in (port, port + 1):
                stack.enter_context(socket.create_server(("127.0.0.1", each)))
        except OSError:
            stack.close()
        else:
            return port


def _suggested(error: str) -> int:
    """Not always the next port: another program may have that one by chance."""
    [port] = re.findall(r"Choose another: PORT=(\d+) make run", error)
    return int(port)


def _has_data(home: Path) -> bool:
    return bool(_names(home))


def _names(directory: Path) -> list[str]:
    return [each.name for each in directory.iterdir()]


def _left_running(home: Path) -> list[int]:
    found = []
    for path in home.rglob("postmaster.pid"):
        with suppress(FileNotFoundError, IndexError):  # it may just be starting or stopping
            found.append(_process_of(path))
    return found


def _process_of(postmaster: Path) -> int:
    return int(postmaster.read_text().splitlines()[0])


async def _made(file: Path) -> None:
    await eventually(lambda: asyncio.to_thread(file.exists), tries=100 * PATIENCE_SECONDS)


async def _gone(process_id: int) -> None:
    async def gone() -> bool:
        return not is_running(process_id)

    await eventually(gone)

# SPDX-License-Identifier: MIT
"""How far long work has come: lines at intervals, or a bar on a terminal."""

import contextlib
import io
import os
import pty
import termios
from collections.abc import Iterator

import pytest

from service.bootstrap.progress import LINE_SECONDS, ProgressBar
from tests.documents.blocks import block


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lines() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def progress(clock: Clock, lines: io.StringIO) -> ProgressBar:
    return ProgressBar(lines, clock)


def test_work_that_ends_soon_prints_no_line(
    progress: ProgressBar, clock: Clock, lines: io.StringIO
) -> None:
    with progress:
        progress.begin("replay", 100, "events")
        clock.now = LINE_SECONDS - 1
        progress.advance(100)

    assert lines.getvalue() == ""


def test_a_line_is_as_the_documentation_shows_it(
    progress: ProgressBar, clock: Clock, lines: io.StringIO
) -> None:
    progress.begin("replay", 480_000, "events")
    clock.now = 29.91
    progress.advance(120_000)

    assert lines.getvalue() == block("docs/retention.md", "replay: ")


def test_prints_a_line_at_intervals(
    progress: ProgressBar, clock: Clock, lines: io.StringIO
) -> None:
    progress.begin("replay", 480_000, "events")
    for clock.now in (6, 11, 16, 21):
        progress.advance(40_000)

    assert lines.getvalue() == (
        "replay: 80,000 of 480,000 events (17%), 7,273/s, 55 s left\n"
        "replay: 160,000 of 480,000 events (33%), 7,619/s, 42 s left\n"
    )


def test_names_minutes_if_it_takes_longer(
    progress: ProgressBar, clock: Clock, lines: io.StringIO
) -> None:
    progress.begin("benchmarks", 96, "measurements")
    clock.now = 600
    progress.advance(24)

    assert lines.getvalue() == ("benchmarks: 24 of 96 measurements (25%), 2.4/min, 30 min left\n")


@pytest.mark.parametrize("total", [None, 90], ids=["no total", "an estimate that was too low"])
def test_without_a_right_total_it_says_only_what_is_done(
    progress: ProgressBar, clock: Clock, lines: io.StringIO, total: int | None
) -> None:
    progress.begin("prune", total, "events")
    clock.now = 20
    progress.advance(100)

    assert lines.getvalue() == "prune: 100 events, 5/s\n"


def test_each_task_begins_anew(progress: ProgressBar, clock: Clock, lines: io.StringIO) -> None:
    progress.begin("audit of the events", 100, "events")
    clock.now = 20
    progress.advance(10)
    progress.begin("audit of the messages", 200, "messages")
    clock.now = 30
    progress.advance(50)

    assert lines.getvalue().splitlines()[1] == (
        "audit of the messages: 50 of 200 messages (25%), 5/s, 30 s left"
    )


def test_nothing_done_yet_says_no_time_left(
    progress: ProgressBar, clock: Clock, lines: io.StringIO
) -> None:
    progress.begin("erase", 100, "sessions")
    clock.now = 20
    progress.advance(0)

    assert lines.getvalue() == "erase: 0 of 100 sessions (0%), 0.0/min\n"


@pytest.fixture
def terminal() -> Iterator[tuple[int, io.TextIOWrapper]]:
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (24, 80))
    with os.fdopen(its, "w") as stream:
        yield ours, stream
    os.close(ours)


def read_to_the_end(terminal: int) -> str:
    """One read may return less than was written; a closed terminal ends with EIO on Linux."""
    parts = []
    with contextlib.suppress(OSError):
        while part := os.read(terminal, 10_000):
            parts.append(part)
    return b"".join(parts).decode()


def test_a_terminal_gets_a_bar_that_is_gone_at_the_end(
    terminal: tuple[int, io.TextIOWrapper],
) -> None:
    ours, stream = terminal
    with ProgressBar(stream) as progress:
        progress.begin("replay", 4, "events")
        progress.advance(4)
    stream.close()

    shown = read_to_the_end(ours)
    assert "replay:   0%" in shown
    assert "0/4" in shown
    assert shown.rstrip(" ").endswith("\r")
    assert "\n" not in shown


def test_a_result_goes_to_standard_output_alone(
    progress: ProgressBar, lines: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress:
        progress.begin("audit", 4, "events")
        progress.print("lost: event 7")

    assert capsys.readouterr().out == "lost: event 7\n"
    assert lines.getvalue() == ""

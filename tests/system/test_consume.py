# SPDX-License-Identifier: MIT
"""python -m service consume: a consumer beside the demo, and all of its processes."""

import signal
import socket
import sys
from pathlib import Path

import pytest

from tests.system.processes import a_public_directory, finished, free_port, started

A_PARENT = """
import asyncio
from service.dev.children import start

async def main():
    async with start("child", ["sh", "-c", "echo has begun; exec sleep 600"]) as child:
        await child.wait()

asyncio.run(main())
"""


async def test_prints_the_events_of_the_demo_until_it_is_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = str(free_port())
    with a_public_directory() as home:
        monkeypatch.setenv("TMPDIR", str(home))
        data = ["--data", str(home / "data")]
        async with started("demo", "--port", port, *data) as demo:
            await demo.line("Ctrl-C")
            async with started("consume", *data) as consume:
                await consume.line("version 2  applied")  # history, from before it was started
                tried = await finished("try", "--port", port, *data)
                assert tried.code == 0, tried.err
                assert '{"reason": "shoulder pain"}' in await consume.line("failed ")

                second = await finished("consume", *data)
                assert (second.code, second.out) == (1, "")
                assert "Is `make consume` open in another terminal?" in second.err

                consume.signal(signal.SIGINT)
                assert await consume.end() == 0, consume.output
            assert "Traceback" not in consume.output
            assert consume.output.endswith(
                "  Stopped. The messages and the example's tables are kept.\n\n"
            )

            async with started("consume", *data) as consume:
                await consume.line("NATS")
                demo.signal(signal.SIGINT)
                await demo.end()
                assert await consume.end() == 1
            assert "Start it in another terminal: make run" in consume.output


async def test_says_that_there_is_no_demo(tmp_path: Path) -> None:
    refused = await finished("consume", "--data", str(tmp_path))

    assert (refused.code, refused.out) == (1, "")
    assert refused.err == (
        f"No demo uses the data in {tmp_path}. Start it in another terminal: make run\n"
    )


async def test_a_demo_that_is_stopping_is_none() -> None:
    """Its PostgreSQL goes on listening, to refuse connections, when it has ended all others."""
    with a_public_directory() as home, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{home}/.s.PGSQL.5432")
        listener.listen()
        data = home / "postgres"
        data.mkdir()
        lines = ["1", str(data), "1795780809", "5432", str(home), "", "1 2", "stopping"]
        (data / "postmaster.pid").write_text("\n".join(lines) + "\n")

        refused = await finished("consume", "--data", str(home))

    assert (refused.code, refused.out) == (1, "")
    assert "Start it in another terminal: make run" in refused.err


async def test_its_processes_end_when_it_is_killed() -> None:
    async with started(command=(sys.executable, "-c", A_PARENT)) as parent:
        await parent.line("has begun")
        parent.signal(signal.SIGKILL)
        await parent.end()  # nothing holds its output any more

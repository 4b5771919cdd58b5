# SPDX-License-Identifier: MIT
"""The suite fails if a secret, a reason or notes come into a log."""

import asyncio
import os
import re
import sys

import pytest

from tests import leaks
from tests.conftest import TEST_DATABASE_URL
from tests.guardian import MARK
from tests.system.processes import ROOT

LEAKING = "tests/system/leaking.py"


async def test_each_leak_fails_its_test_and_the_run() -> None:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")
    }
    del environment[MARK]
    environment.pop(TEST_DATABASE_URL, None)  # its roles are those of this run
    run = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", "0", LEAKING),
        env=environment | {"COLUMNS": "200"},
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out = (await run.communicate())[0].decode()

    failed = set(
        re.findall(rf"^ERROR {LEAKING}::(\w+) - AssertionError: The log", out, re.MULTILINE)
    )
    written = set(re.findall(r"def (test_\w+)", (ROOT / LEAKING).read_text()))
    assert (run.returncode, failed) == (1, written - {"test_nothing"}), out


@pytest.mark.parametrize(
    "harmless",
    [
        '{"event": "request", "code": "INVALID_STATUS", "request_id": "phone-7"}',
        "nats://127.0.0.1:4222 and postgresql://coach@127.0.0.1:5432/gym refuse",
        "Uvicorn running on http://[::1]:8000 (Press CTRL+C to quit)",
        "eyJ is how a token begins",
    ],
)
def test_other_lines_are_no_leak(harmless: str) -> None:
    leaks.look(harmless)

    leaks.assert_none()


@pytest.mark.parametrize(
    ("body", "logged"),
    [
        (b'{"reason": "a strained calf, left"}', "a strained calf"),
        ('{"notes": "zerwałem mięsień łydki"}'.encode(), "zerwa\\u0142em mi\\u0119sie\\u0144"),
        (b'{"notes": "a strained calf\\u002c left"}', "a strained calf,"),
        (b'{"reason" : "a strained calf, left", oh', "a strained calf, le"),
    ],
    ids=["cut off", "escaped in the log", "escaped in the body", "no JSON"],
)
def test_finds_the_words_of_a_body(body: bytes, logged: str) -> None:
    leaks.never_log_body(body)
    leaks.look(f"refused: {logged} …")

    with pytest.raises(AssertionError, match="refused: "):
        leaks.assert_none()

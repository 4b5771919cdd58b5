# SPDX-License-Identifier: MIT
"""Schemathesis tries everything that the description allows, and much that it does not."""

import os
import sys
from pathlib import Path

from service.http.operations.table import OPERATIONS
from tests.builders import a_token
from tests.running import App
from tests.system.processes import ROOT, finished

EXAMPLES = 20
COMMAND = (
    Path(sys.executable).with_name("schemathesis"),
    "--config-file",
    str(Path(__file__).with_name("schemathesis.toml")),
    "run",
)
HOOKS = {"SCHEMATHESIS_HOOKS": "tests.http.schemathesis_hooks", "PYTHONPATH": str(ROOT)}


async def test_finds_nothing_with_all_checks_and_along_all_links(app: App) -> None:
    """Every answer is also held against the description by the hook of all tests."""
    done = await finished(
        f"{app.url}/openapi.json",
        *("--header", f"Authorization: Bearer {a_token()}"),
        *("--checks", "all", "--phases", "examples,coverage,fuzzing,stateful"),
        *("--max-examples", str(EXAMPLES), "--seed", "1", "--generation-database", "none"),
        "--continue-on-failure",
        "--no-color",
        command=[str(part) for part in COMMAND],
        environment=HOOKS | {"NO_PROXY": "127.0.0.1", "PATH": os.environ["PATH"]},
    )

    assert done.code == 0, done.out + done.err
    assert "✅  Stateful" in done.out
    tried = [each for each in OPERATIONS if each.path != "/openapi.json"]  # where it read them
    assert f"Tested: {len(tried)}" in done.out, done.out

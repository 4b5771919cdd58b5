# SPDX-License-Identifier: MIT
"""The command that begins a migration makes a file that passes the gates."""

import shutil
import subprocess
import sys
from pathlib import Path

from service.persistence.checks import REVISION
from tests.documents.blocks import ROOT, block
from tests.documents.console import commands_of, shown_in

COPIED = ("alembic.ini", "migrations", "pyproject.toml")


def run(place: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", *arguments], cwd=place, check=True)


def test_a_new_migration_is_formatted_and_has_no_error_of_the_linter(tmp_path: Path) -> None:
    for name in COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    [shown] = shown_in(block("docs/migrations.md", "$ alembic revision"))
    [command] = commands_of(shown.script, "docs/migrations.md")

    run(tmp_path, *command.words)

    [new] = (tmp_path / "migrations" / "versions").glob(f"{int(REVISION) + 1:04}_*.py")
    run(tmp_path, "ruff", "format", "--check", "--no-cache", str(new))
    run(tmp_path, "ruff", "check", "--no-cache", str(new))
    text = new.read_text()
    assert f'down_revision = "{REVISION}"' in text
    assert text.count("SET LOCAL lock_timeout") == 2

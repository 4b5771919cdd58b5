# SPDX-License-Identifier: MIT
"""A contender in another language takes part where its tools are, and is left out elsewhere."""

import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks.contenders import golang
from benchmarks.contenders.catalogue import GO
from benchmarks.contenders.toolchains import NotHere, digest
from benchmarks.run import those_here


def test_go_is_left_out_with_a_note_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    notes: list[str] = []

    assert list(those_here([GO], tmp_path, notes)) == []
    assert notes == ["Go + pgx, pipelined did not take part: Go is missing."]


def test_go_is_left_out_where_a_library_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "go").write_text("#!/bin/sh\n")
    (tmp_path / "go").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(golang, "LIBRARIES", tmp_path)

    with pytest.raises(NotHere, match="golang-github-jackc-pgx-v4-dev is missing"):
        golang.build(tmp_path)


def test_what_is_installed_for_node_belongs_to_its_lock(tmp_path: Path) -> None:
    lock = tmp_path / "package-lock.json"
    lock.write_text("{}")
    before = digest([lock])
    lock.write_text('{"name": "other"}')

    assert digest([lock]) != before


def test_the_sources_in_go_are_formatted() -> None:
    """Without gofmt there is nothing to compare them with."""
    gofmt = shutil.which("gofmt")
    if gofmt is None:
        return
    listed = subprocess.run(
        [gofmt, "-l", golang.SOURCES], check=True, capture_output=True, text=True
    )
    assert listed.stdout == ""

# SPDX-License-Identifier: MIT
"""requirements/advisories.py, with a server in place of PyPI that answers in its form."""

import json
import re
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.system.processes import ROOT, Finished, finished, free_port

SCRIPT = [sys.executable, str(ROOT / "requirements" / "advisories.py")]
LOCKED = """\
shoulder==1.2.0 \
    --hash=sha256:0f
knee==3.0 ; sys_platform != 'win32' \
    --hash=sha256:1e
"""
ADVISORY = {
    "id": "PYSEC-2026-7",
    "fixed_in": ["1.2.1"],
    "link": "https://osv.dev/vulnerability/PYSEC-2026-7",
    "withdrawn": None,
}


class _Server(ThreadingHTTPServer):
    pages: dict[str, bytes]


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        body = self.server.pages.get(self.path)
        self.send_response(404 if body is None else 200)
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  as in the base class
        pass


@pytest.fixture
def pypi() -> Iterator[_Server]:
    """Knows both packages, without advisories."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.pages = {
            "/shoulder/1.2.0/json": _page("1.2.0"),
            "/knee/3.0/json": _page("3.0"),
        }
        threading.Thread(target=server.serve_forever).start()
        yield server
        server.shutdown()


def _page(version: str, *advisories: dict[str, Any]) -> bytes:
    return json.dumps({"info": {"version": version}, "vulnerabilities": advisories}).encode()


async def _asked(place: Path, port: int, *arguments: str) -> Finished:
    (place / "locked.txt").write_text(LOCKED)
    url = f"http://127.0.0.1:{port}"
    return await finished(
        str(place / "locked.txt"), "--url", url, *arguments, command=SCRIPT,
        environment={"NO_PROXY": "127.0.0.1"},
    )  # fmt: skip


async def test_passes_if_no_locked_version_has_an_advisory(pypi: _Server, tmp_path: Path) -> None:
    done = await _asked(tmp_path, pypi.server_port)

    assert (done.code, done.err) == (0, "")
    assert done.out == "2 locked versions, 0 with a known advisory.\n"


async def test_fails_and_names_the_advisory_of_a_locked_version(
    pypi: _Server, tmp_path: Path
) -> None:
    pypi.pages["/shoulder/1.2.0/json"] = _page("1.2.0", ADVISORY)

    done = await _asked(tmp_path, pypi.server_port)

    assert done.code == 1
    assert done.out.splitlines() == [
        "shoulder 1.2.0: PYSEC-2026-7, fixed in 1.2.1: https://osv.dev/vulnerability/PYSEC-2026-7",
        "2 locked versions, 1 with a known advisory.",
    ]


async def test_passes_if_the_advisory_was_withdrawn(pypi: _Server, tmp_path: Path) -> None:
    withdrawn = ADVISORY | {"withdrawn": "2026-11-26T09:00:00Z"}
    pypi.pages["/shoulder/1.2.0/json"] = _page("1.2.0", withdrawn)

    assert (await _asked(tmp_path, pypi.server_port)).code == 0


async def test_fails_at_a_mirror_that_knows_only_the_newest_release(
    pypi: _Server, tmp_path: Path
) -> None:
    del pypi.pages["/shoulder/1.2.0/json"]
    pypi.pages["/shoulder/json"] = _page("1.2.0", ADVISORY)

    assert (await _asked(tmp_path, pypi.server_port)).code == 1


async def test_names_a_version_about_which_there_is_no_answer(
    pypi: _Server, tmp_path: Path
) -> None:
    del pypi.pages["/shoulder/1.2.0/json"]
    pypi.pages["/shoulder/json"] = _page("1.3.0")

    done = await _asked(tmp_path, pypi.server_port)

    assert (done.code, done.err) == (0, "No answer for 1: shoulder 1.2.0.\n")


@pytest.mark.parametrize(("arguments", "code"), [([], 0), (["--required"], 2)], ids=str)
async def test_says_that_nothing_was_looked_for_if_nobody_answers(
    tmp_path: Path, arguments: list[str], code: int
) -> None:
    done = await _asked(tmp_path, free_port(), *arguments)

    assert done.code == code
    assert done.out == ""
    assert done.err.startswith("Advisories were not looked for: ")
    assert "Connection refused" in done.err


async def test_says_that_nothing_was_looked_for_if_the_answer_is_not_of_pypi(
    pypi: _Server, tmp_path: Path
) -> None:
    pypi.pages["/shoulder/1.2.0/json"] = b"<html>Log in to this network</html>"

    done = await _asked(tmp_path, pypi.server_port, "--required")

    assert done.code == 2
    assert "Advisories were not looked for: " in done.err


def test_all_gates_include_the_advisories_of_what_the_image_installs() -> None:
    makefile = (ROOT / "Makefile").read_text()

    assert re.search(r"^check: .*\badvisories\b", makefile, flags=re.MULTILINE)
    assert "requirements/advisories.py requirements/runtime.txt" in makefile

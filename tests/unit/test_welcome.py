# SPDX-License-Identifier: MIT
"""service/dev/welcome.py: the commands that the demo offers can be typed as they stand."""

from pathlib import Path
from uuid import uuid4

import pytest

from service.dev import welcome
from service.dev.welcome import CHECKOUT, DEFAULT_HOME, render_welcome


@pytest.fixture(autouse=True)
def in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CHECKOUT)
    monkeypatch.delenv("UV", raising=False)


def lines(port: int, home: Path = DEFAULT_HOME) -> list[str]:
    data = home.resolve() / "postgres"
    text = render_welcome(
        port, uuid4(), "token", home=home, data=data, metrics="http://127.0.0.1:9464/metrics"
    )
    return [line.strip() for line in text.splitlines()]


@pytest.mark.parametrize(("port", "command"), [(8000, "make try"), (9000, "PORT=9000 make try")])
def test_offers_make_try_with_its_port(port: int, command: str) -> None:
    assert command in lines(port)


@pytest.mark.parametrize(
    ("port", "home", "options"),
    [(8000, ".data", ""), (9000, ".data", " --port 9000"), (8000, "/knee", " --data /knee")],
)
def test_offers_uvx_if_uv_has_installed_the_package_from_this_checkout(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, port: int, home: str, options: str
) -> None:
    monkeypatch.setenv("UV", "/usr/bin/uv")
    monkeypatch.setattr(welcome, "CHECKOUT", tmp_path)  # uvx keeps the package in its cache

    assert f"uvx --from . training-sessions try{options}" in lines(port, Path(home))


def test_offers_no_uvx_in_another_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("UV", "/usr/bin/uv")
    monkeypatch.chdir(tmp_path)

    assert not [line for line in lines(8000) if "uvx" in line]


def test_offers_the_long_command_for_data_elsewhere(tmp_path: Path) -> None:
    [command] = [line for line in lines(9000, tmp_path) if " try " in line]

    assert command.endswith(f"python -m service try --port 9000 --data {tmp_path}")


def test_names_the_page_first_and_the_data_by_a_short_path() -> None:
    shown = lines(9000)

    assert next(line for line in shown if "://" in line) == "http://127.0.0.1:9000/docs"
    assert "Data    .data/postgres" in shown


@pytest.mark.parametrize("variable", ["http_proxy", "ALL_PROXY"])
def test_tells_curl_to_connect_directly_if_there_is_a_proxy(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    without = [line for line in lines(8000) if line.startswith("curl -i -X POST")]
    monkeypatch.setenv(variable, "http://proxy.example:3128")
    direct = [line for line in lines(8000) if line.startswith("curl -i --noproxy 127.0.0.1 -X")]

    assert (len(without), len(direct)) == (1, 1)

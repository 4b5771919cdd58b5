# SPDX-License-Identifier: MIT
"""service/dev/welcome.py: the commands that the demo offers can be typed as they stand."""

from pathlib import Path
from uuid import uuid4

import pytest

from service.dev.welcome import CHECKOUT, DEFAULT_HOME, render_welcome


@pytest.fixture(autouse=True)
def in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CHECKOUT)


def lines(port: int, home: Path = DEFAULT_HOME) -> list[str]:
    data = home.resolve() / "postgres"
    welcome = render_welcome(
        port, uuid4(), "token", home=home, data=data, metrics="http://127.0.0.1:9464/metrics"
    )
    return [line.strip() for line in welcome.splitlines()]


@pytest.mark.parametrize(("port", "command"), [(8000, "make try"), (9000, "PORT=9000 make try")])
def test_offers_make_try_with_its_port(port: int, command: str) -> None:
    assert command in lines(port)


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

# SPDX-License-Identifier: MIT
"""The server for metrics and probes: its pages, and what it does in a fault."""

import socket
from collections.abc import Iterator
from http import HTTPStatus

import httpx2
import pytest
from structlog.testing import capture_logs

from service.bootstrap.metrics import CannotListen, serving_pages
from service.observability.server import CONNECTIONS_MAX, Page
from tests.system.processes import PATIENCE_SECONDS

LOOPBACK = "127.0.0.1"


def broken() -> Page:
    raise ZeroDivisionError


@pytest.fixture
def url() -> Iterator[str]:
    pages = {
        "/livez": lambda: Page(b"alive\n"),
        "/readyz": lambda: Page(b"not ready\n", HTTPStatus.SERVICE_UNAVAILABLE),
        "/broken": broken,
    }
    with serving_pages(LOOPBACK, 0, pages) as url:
        yield url


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/livez", 200, "alive\n"),
        ("/livez?verbose", 200, "alive\n"),
        ("/readyz", 503, "not ready\n"),
        ("/", 404, "/livez, /readyz, /broken\n"),
    ],
)
def test_answers_a_page(url: str, path: str, status: int, body: str) -> None:
    answer = httpx2.get(url + path, timeout=PATIENCE_SECONDS, trust_env=False)

    assert (answer.status_code, answer.text) == (status, body)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["server"] == "training-sessions"


def test_head_has_no_body(url: str) -> None:
    answer = httpx2.head(f"{url}/livez", timeout=PATIENCE_SECONDS, trust_env=False)

    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == "6"


def test_other_methods_are_not_implemented(url: str) -> None:
    answer = httpx2.post(f"{url}/livez", timeout=PATIENCE_SECONDS, trust_env=False)

    assert answer.status_code == 501


def test_a_page_that_cannot_be_made_is_500_and_logged(url: str) -> None:
    with capture_logs() as lines:
        answer = httpx2.get(f"{url}/broken", timeout=PATIENCE_SECONDS, trust_env=False)

    assert (answer.status_code, answer.text) == (500, "The log says why.\n")
    assert [(line["event"], line["path"]) for line in lines] == [("page not made", "/broken")]


def test_closes_further_connections_while_all_threads_wait_for_their_clients(url: str) -> None:
    address = httpx2.URL(url)
    silent = [
        socket.create_connection((LOOPBACK, address.port or 0)) for _ in range(CONNECTIONS_MAX)
    ]
    try:
        with socket.create_connection((LOOPBACK, address.port or 0)) as further:
            assert further.recv(1) == b""
    finally:
        for each in silent:
            each.close()


def test_refuses_a_port_that_is_taken_in_a_sentence(url: str) -> None:
    port = httpx2.URL(url).port or 0

    with (
        pytest.raises(CannotListen, match=rf"^127\.0\.0\.1:{port} cannot serve metrics: Address"),
        serving_pages(LOOPBACK, port, {}),
    ):
        pass


def test_listens_no_more_after_the_block() -> None:
    with serving_pages(LOOPBACK, 0, {}) as url:
        pass

    with pytest.raises(httpx2.ConnectError):
        httpx2.get(url, trust_env=False)

# SPDX-License-Identifier: MIT
"""Plays the life of several sessions against a running service; prints requests and answers."""

import io
import os
import re
import sys
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import httpx2
from pydantic import SecretStr

from service.bootstrap.proxies import client_options, find_proxy, is_this_machine
from service.bootstrap.settings import TokenSettings, WrongSettings, load
from service.dev.demo import secret_file
from service.dev.homes import actual_home
from service.dev.tokens import mint
from service.dev.tour_requests import StrangeAnswerError, Tour, UnexpectedStatusError
from service.dev.tour_story import play
from service.urls import Url, parse_server_url

TIMEOUT_SECONDS = 10
IS_IT_OPEN = "Is `make run` open in another terminal?"
WHICH_PORT = "If `make run` listens on another port: PORT=9000 make try."


def run(url: str, home: Path) -> int:
    """Acts as a new user of the service at `url`; returns the exit code.

    Signs the token with SERVICE_JWT_SECRET, or else with the secret of the demo whose data is in
    `home`. Raises WrongSettings if there is none, or if the proxy for the URL cannot be used.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # an answer may have what the terminal has not
    token = mint(_settings(home), uuid4(), lifetime=timedelta(minutes=5))
    headers = {"Authorization": f"Bearer {token}"}
    options = client_options(url)
    try:
        with httpx2.Client(
            base_url=url, headers=headers, timeout=TIMEOUT_SECONDS, **options
        ) as client:
            play(Tour(client))
        print("The tour is over.\n", flush=True)
    except (UnexpectedStatusError, StrangeAnswerError, httpx2.HTTPError) as exc:
        print(_sentence(url, exc), file=sys.stderr)
        return 1
    except BrokenPipeError:  # `make try | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def _settings(home: Path) -> TokenSettings:
    settings = load(TokenSettings)
    if settings.jwt_secret:
        return settings
    secret = secret_file(actual_home(home))
    try:
        return load(TokenSettings, jwt_secret=SecretStr(secret.read_text()))
    except FileNotFoundError:
        reason = "there is no demo with its data there"
    except OSError as exc:
        reason = f"{exc.strerror}: was the demo started by another user?"
    raise WrongSettings(
        f"SERVICE_JWT_SECRET is not set, and {secret} cannot be read ({reason}). {IS_IT_OPEN}"
    )


def _sentence(text: str, exc: Exception) -> str:
    """Says why the tour ended. Quotes no login of a URL."""
    url = parse_server_url(text, "http", "https")
    proxy = find_proxy(text)
    way = f" through the proxy that {proxy.variable} names" if proxy else ""
    reason = re.sub(r"^\[Errno -?\d+\] ", "", str(exc)).rstrip(".") or type(exc).__name__
    place, is_local = _place(url), is_this_machine(url.addresses[0].host)
    match exc:
        case UnexpectedStatusError():
            return f"{place} {reason}."
        case httpx2.ConnectError() | httpx2.ConnectTimeout() | httpx2.ProxyError():
            return (
                f"{place} cannot be reached{way}: {reason}.{f' {IS_IT_OPEN}' if is_local else ''}"
            )
        case httpx2.TimeoutException():
            return f"{place} has not answered{way} within {TIMEOUT_SECONDS} seconds."
        case _:
            return (
                f"{place} is not this service{way}: {reason}.{f' {WHICH_PORT}' if is_local else ''}"
            )


def _place(url: Url) -> str:
    [address] = url.addresses
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{url.scheme}://{host}{f':{address.port}' if address.port else ''}"

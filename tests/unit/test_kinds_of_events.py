# SPDX-License-Identifier: MIT
"""Every kind of event is named wherever clients, consumers and operators look for it."""

import re
from inspect import getmembers, isclass
from pathlib import Path
from typing import get_args, get_type_hints

import yaml

from service.domain import events
from service.domain.events import EVENTS, SessionEvent
from service.http.dtos import EventDTO

DOCS = Path(__file__).parents[2] / "docs"
TYPES = {each.type for each in EVENTS}
NAMES = {each.removeprefix("session_") for each in TYPES}


def section(page: str, start: str) -> str:
    return (DOCS / page).read_text().split(start, 1)[1].split("\n\n", 1)[0]


def test_the_list_of_events_has_every_kind_once() -> None:
    defined = [each for _, each in getmembers(events, isclass) if issubclass(each, SessionEvent)]

    assert {SessionEvent, *EVENTS} == set(defined)
    assert len(TYPES) == len(EVENTS)


def test_the_description_of_the_api_has_every_kind() -> None:
    union = get_args(get_args(EventDTO)[0])
    described = [get_args(get_type_hints(each)["type"]) for each in union]

    assert sorted(described) == sorted((each,) for each in TYPES)


def test_the_description_of_messages_has_every_kind() -> None:
    described = yaml.safe_load((DOCS / "asyncapi.yaml").read_text())
    published = {each["channel"]["$ref"] for each in described["operations"].values()}

    assert described["channels"].keys() == described["components"]["messages"].keys() == NAMES
    assert published == {f"#/channels/{name}" for name in NAMES}


def test_the_page_of_events_has_every_kind() -> None:
    rows = section("events.md", "| Event | `ce-type` |")

    assert set(re.findall(r"`training\.session\.v1\.(\w+)`", rows)) == NAMES


def test_the_page_of_the_api_has_every_kind() -> None:
    rows = section("api.md", "| Call | From")

    assert set(re.findall(r"`(session_\w+)`", rows)) == TYPES


def test_the_page_of_metrics_has_every_kind() -> None:
    [line] = [
        each for each in (DOCS / "metrics.md").read_text().splitlines() if "`transition`:" in each
    ]

    assert set(re.findall(r"`(\w+)`", line)) - {"transition"} == NAMES

# SPDX-License-Identifier: MIT
"""Wrong streams, without servers: each kind of wrong message is found."""

import pytest

from tests.chaos.stream import judge_stream
from tests.faults.verdict import verdict
from tests.nats_server import Stored

PLANNED, STARTED, FAILED, OTHER = "planned", "started", "failed", "planned-by-another"
EVENTS = [PLANNED, STARTED, FAILED, OTHER]


def message(event: str, session: str = "first") -> Stored:
    version = EVENTS.index(event) + 1 if event in EVENTS and session == "first" else 1
    payload = {"sessionId": session, "sessionVersion": version}
    return Stored("training.session", {"ce-id": event}, payload)


TRUE = [message(PLANNED), message(OTHER, "second"), message(STARTED), message(FAILED)]


@pytest.mark.parametrize(
    "stored", [TRUE, TRUE[1:2] + TRUE[:1] + TRUE[2:]], ids=["in order", "other order of sessions"]
)
def test_finds_nothing_in_a_true_stream(stored: list[Stored]) -> None:
    assert judge_stream(EVENTS, stored) == []
    assert verdict(EVENTS, stored, refusals=0, catch_up=0, take_over=None).is_clean


@pytest.mark.parametrize(
    ("stored", "kinds"),
    [
        (TRUE[:-1], {"lost"}),
        ([], {"lost"}),
        ([*TRUE, TRUE[-1]], {"doubled"}),
        ([*TRUE, message("unheard of", "third")], {"invented"}),
        ([TRUE[0], TRUE[1], TRUE[3], TRUE[2]], {"out of order"}),
        ([*TRUE[1:], TRUE[0]], {"out of order"}),
        ([TRUE[0], TRUE[1], TRUE[3], TRUE[3]], {"lost", "doubled"}),
        ([*TRUE, TRUE[0]], {"doubled", "out of order"}),
    ],
    ids=[
        "one missing", "all missing", "one twice", "one never committed", "two exchanged",
        "the first comes last", "one missing and one twice", "the first again at the end",
    ],
)  # fmt: skip
def test_finds_wrong_messages(stored: list[Stored], kinds: set[str]) -> None:
    assert {each.kind for each in judge_stream(EVENTS, stored)} == kinds
    assert not verdict(EVENTS, stored, refusals=0, catch_up=0, take_over=None).is_clean

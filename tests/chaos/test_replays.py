# SPDX-License-Identifier: MIT
"""The checker judges repetitions of a command whose first answer was lost."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.chaos.history import Attempt
from tests.chaos.model import content_of
from tests.chaos.told import FAILED, Told, lose_answer


def repeat(told: Told, verb: str = "fail", **facts: Any) -> Attempt:
    """Loses the first answer; the same answer comes to a repetition."""
    first = told.of(verb)
    answer = {"status": first.status, "etag": first.etag, "content": first.content}
    lose_answer(first)
    return again(told, verb, **answer | facts)


def again(told: Told, verb: str, **facts: Any) -> Attempt:
    first = told.of(verb)
    asked = {"body": first.body, "key": first.key, "session_id": first.session_id}
    return told.add(verb, **asked | {"is_replay": True} | facts)


def a_true_replay(told: Told) -> None:
    repeat(told)


def a_true_replay_of_a_plan(told: Told) -> None:
    """It shows the session as it was planned, though it has failed since."""
    repeat(told, "plan", made=told.life.id)


def two_equal_replays(told: Told) -> None:
    first = repeat(told)
    again(told, "fail", status=200, etag=first.etag, content=first.content)


def a_replay_of_a_repetition_by_the_balancer(told: Told) -> None:
    """The first replica executed the request and died; the other one answered it."""
    told.of("fail").is_replay = True


def a_first_answer_says_that_it_is_a_replay(told: Told) -> None:
    """The change changes nothing, so its key was not kept, and no replay of it exists."""
    read = told.of("get", 1)
    told.add("update", body={"rpe": None}, status=200, key="new", begun=3.6, ended=3.9,
             is_replay=True, etag=read.etag, content=read.content)  # fmt: skip


def a_change_of_nothing(told: Told) -> None:
    a_first_answer_says_that_it_is_a_replay(told)
    told.of("update").is_replay = False


@pytest.mark.parametrize(
    "plant",
    [
        a_true_replay, a_true_replay_of_a_plan, two_equal_replays,
        a_replay_of_a_repetition_by_the_balancer, a_change_of_nothing,
    ],
)  # fmt: skip
def test_finds_nothing_wrong_in_true_replays(told: Told, plant: Callable[[Told], None]) -> None:
    plant(told)

    assert told.kinds() == set()


def another_status_is_shown(told: Told) -> None:
    repeat(told).content = told.of("start").content


def another_session_is_shown(told: Told) -> None:
    repeat(told).content = content_of(session=told.life.dto() | {"id": "another"})


def no_session_is_shown(told: Told) -> None:
    repeat(told).content = b'{"data": {}}'


def the_version_is_another(told: Told) -> None:
    repeat(told).etag = '"2"'


def the_version_is_absent(told: Told) -> None:
    repeat(told).etag = None


def the_success_has_another_status(told: Told) -> None:
    repeat(told).status = 201


def the_plan_has_another_status(told: Told) -> None:
    repeat(told, "plan", made=told.life.id).status = 200


def the_replay_shows_a_later_version(told: Told) -> None:
    """It shows the session as it is now, not as it was after the command."""
    repeat(told, "plan", made=told.life.id, content=told.of("get", 2).content, etag='"3"')


def the_second_replay_differs(told: Told) -> None:
    first = repeat(told)
    again(told, "fail", status=200, etag=first.etag, content=first.content + b" ")


def the_second_replay_has_another_version(told: Told) -> None:
    first = repeat(told)
    again(told, "fail", status=200, etag='"9"', content=first.content)


@pytest.mark.parametrize(
    "plant",
    [
        another_status_is_shown, another_session_is_shown, no_session_is_shown,
        the_version_is_another, the_version_is_absent, the_success_has_another_status,
        the_plan_has_another_status, the_replay_shows_a_later_version, the_second_replay_differs,
        the_second_replay_has_another_version, a_first_answer_says_that_it_is_a_replay,
    ],
)  # fmt: skip
def test_finds_an_untrue_replay(told: Told, plant: Callable[[Told], None]) -> None:
    plant(told)

    assert "impossible" in told.kinds()


def test_counts_a_key_that_was_executed_for_two_requests_as_doubled(told: Told) -> None:
    second = repeat(told)
    told.event(second, 4)

    assert "doubled" in told.kinds()


def test_counts_a_command_that_only_a_replay_acknowledged_as_lost(told: Told) -> None:
    repeat(told)
    told.events.pop()
    told.life.events.pop()
    told.life.status = "in_progress"
    told.history.remove(told.of("get", 2))

    assert "lost" in told.kinds()


@pytest.mark.parametrize("first", ["start", "update"])
def test_finds_the_order_of_two_commands_that_only_their_events_tell(first: str) -> None:
    """Both orders end in the same session, which has another history and other replays."""
    told = Told(is_only_planned=True)
    commands = {"start": told.execute("start"), "update": told.execute("update", {"rpe": 7})}
    for verb, attempt in commands.items():
        lose_answer(attempt)
        attempt.begun = 2.1 if verb == first else 2.2

    assert told.kinds() == set()


@pytest.mark.parametrize("first", ["start", "update"])
def test_finds_the_order_of_two_commands_that_only_a_replay_tells(first: str) -> None:
    told = Told(is_only_planned=True)
    told.execute("start")
    told.execute("update", {"rpe": 7})
    for verb in ("update", "start"):
        repeat(told, verb)
        told.of(verb).begun = 2.1 if verb == first else 2.2

    assert told.kinds() == set()


def test_finds_nothing_wrong_if_a_replay_shows_an_earlier_version() -> None:
    told = Told(is_only_planned=True)
    told.execute("start")
    told.execute("update", {"rpe": 7})
    told.execute("fail", FAILED)
    repeat(told, "update")

    assert told.kinds() == set()

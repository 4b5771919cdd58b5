# SPDX-License-Identifier: MIT
"""The checker finds every kind of wrong that is planted in a history, and nothing in a true one."""

from collections.abc import Callable
from copy import deepcopy
from math import inf
from uuid import uuid4

import pytest

from tests.chaos.told import FAILED, Told, lose_answer


def nothing_else(told: Told) -> None:
    pass


def an_unknown_result(told: Told) -> None:
    """The event shows that the command was executed."""
    lose_answer(told.of("fail"))


def a_lost_request(told: Told) -> None:
    told.add("start", key="never-arrived", begun=2.0, ended=inf)


def a_replay(told: Told) -> None:
    first = told.of("fail")
    told.add("fail", body=FAILED, key=first.key, status=200, etag=first.etag, is_replay=True,
             content=first.content)  # fmt: skip


def a_user_waits_too_often(told: Told) -> None:
    told.refused("fail", 429, "TOO_MANY_REQUESTS")


def a_true_refusal(told: Told) -> None:
    told.refused("start", 409, "INVALID_STATUS", currentStatus="failed")


def a_refusal_without_execution(told: Told) -> None:
    told.refused("fail", 503, "OVERLOADED")


@pytest.mark.parametrize(
    "plant",
    [
        nothing_else, an_unknown_result, a_lost_request, a_replay, a_true_refusal,
        a_refusal_without_execution, a_user_waits_too_often,
    ],
)  # fmt: skip
def test_finds_nothing_in_a_true_history(told: Told, plant: Callable[[Told], None]) -> None:
    plant(told)

    assert told.kinds() == set()


def an_acknowledged_command_is_lost(told: Told) -> None:
    told.events.pop()
    told.life.events.pop()
    told.life.status = "in_progress"


def a_command_is_executed_twice(told: Told) -> None:
    told.events.append(told.events[-1] | {"id": uuid4(), "session_version": 4})


def two_commands_are_reordered(told: Told) -> None:
    start, fail = told.of("start"), told.of("fail")
    start.begun, fail.begun = fail.begun, start.begun
    start.ended, fail.ended = fail.ended, start.ended


def a_read_is_stale(told: Told) -> None:
    before, last = told.of("get", 1), told.of("get", 2)
    last.content, last.etag = before.content, before.etag


def an_overload_was_executed(told: Told) -> None:
    told.of("fail").status, told.of("fail").code = 503, "OVERLOADED"


def a_refused_user_was_served(told: Told) -> None:
    told.of("fail").status, told.of("fail").code = 429, "TOO_MANY_REQUESTS"


def a_replay_has_another_body(told: Told) -> None:
    a_replay(told)
    told.history[-1].content = told.of("start").content


def a_stranger_reads_it(told: Told) -> None:
    read = deepcopy(told.of("get", 2))
    read.user_id, read.request_id = uuid4(), "of a stranger"
    told.history.append(read)


def a_refusal_names_a_status_that_never_was(told: Told) -> None:
    told.refused("start", 409, "INVALID_STATUS", currentStatus="completed")


def an_event_of_no_request(told: Told) -> None:
    told.events[-1]["request_id"] = "unheard of"


def a_version_is_missing(told: Told) -> None:
    told.events[-1]["session_version"] = 7


def a_plan_is_answered_with_200(told: Told) -> None:
    told.of("plan").status = 200


def a_start_is_answered_with_201(told: Told) -> None:
    told.of("start").status = 201


def a_list_is_refused_as_invalid(told: Told) -> None:
    told.refused("list", 400, "VALIDATION_ERROR")


def an_answer_is_no_json(told: Told) -> None:
    told.of("get").content = b"<html>"


def a_valid_token_is_refused(told: Told) -> None:
    told.refused("get", 401, "UNAUTHENTICATED")


def an_error_is_unexpected(told: Told) -> None:
    told.refused("get", 500, "INTERNAL_ERROR")


@pytest.mark.parametrize(
    ("plant", "kind"),
    [
        (an_acknowledged_command_is_lost, "lost"),
        (an_acknowledged_command_is_lost, "impossible"),
        (a_command_is_executed_twice, "doubled"),
        (two_commands_are_reordered, "impossible"),
        (a_read_is_stale, "impossible"),
        (an_overload_was_executed, "untrue"),
        (a_refused_user_was_served, "untrue"),
        (a_replay_has_another_body, "impossible"),
        (a_stranger_reads_it, "impossible"),
        (a_refusal_names_a_status_that_never_was, "impossible"),
        (an_event_of_no_request, "invented"),
        (a_version_is_missing, "gap"),
        (an_error_is_unexpected, "unexpected"),
        (a_plan_is_answered_with_200, "impossible"),
        (a_start_is_answered_with_201, "impossible"),
        (a_list_is_refused_as_invalid, "impossible"),
        (an_answer_is_no_json, "impossible"),
        (a_valid_token_is_refused, "untrue"),
    ],
)
def test_finds_what_is_wrong(told: Told, plant: Callable[[Told], None], kind: str) -> None:
    plant(told)

    assert kind in told.kinds()

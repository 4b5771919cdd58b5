# SPDX-License-Identifier: MIT
"""Whole lives of several users' sessions over HTTP, compared with a model."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from tests.http.lives import Expected, Life, Person
from tests.running import App, Cluster, TestDatabase, a_database, running_app, test_settings

PEOPLE = 2
DATES = [f"2026-11-{day}T09:00:00Z" for day in range(20, 24)]

people = st.integers(0, PEOPLE - 1)
numbers = st.integers(0, 30)
dates = st.sampled_from(DATES)
sets = st.lists(st.none() | st.integers(1, 20), max_size=3)
keys = st.none() | st.none() | st.sampled_from(["tap-1", "tap-2"])
plans = st.fixed_dictionaries(
    {"sessionDate": dates},
    optional={"sets": sets, "notes": st.sampled_from(["legs", "arms"]), "startNow": st.booleans()},
)
bodies = {
    "start": st.just({}),
    "complete": st.fixed_dictionaries({}, optional={"sets": sets, "rpe": st.integers(1, 10)}),
    "fail": st.fixed_dictionaries({}, optional={"reason": st.sampled_from(["knee", "hip"])}),
    "update": st.fixed_dictionaries(
        {},
        optional={
            "sessionDate": dates,
            "sets": sets,
            "rpe": st.none() | st.integers(1, 10),
            "notes": st.sampled_from([None, "legs", "arms"]),
        },
    ).filter(bool),
}
changes = st.sampled_from(sorted(bodies)).flatmap(
    lambda verb: st.tuples(st.just(verb), bodies[verb])
)


class Lives(RuleBasedStateMachine):
    runner: asyncio.Runner
    app: App
    database: TestDatabase

    @initialize()
    def begin(self) -> None:
        self.people = {uuid4(): Person() for _ in range(PEOPLE)}

    @rule(person=people, body=plans, key=keys)
    def plan(self, person: int, body: dict[str, Any], key: str | None) -> None:
        user_id, model = self._person(person)
        asked = ("plan", {"sets": [], "startNow": False} | body)
        expected = self._of_key(model, key, asked) or model.answer_to_plan(body)
        response = self._command(user_id, ("POST", "/sessions"), expected, body=body, key=key)
        if self._is_new(model, response, key, asked):
            session_id = response.json()["data"]["session"]["id"]
            life = Life(session_id, body["sessionDate"], body.get("sets", []), body.get("notes"))
            life.record("session_planned", {"sessionDate": life.date})
            if body.get("startNow"):
                life.execute("start", {})
            assert response.headers["Location"] == f"/sessions/{session_id}"
            model.sessions[session_id] = life
            self._is_told(life, response)

    @rule(
        person=people,
        number=numbers,
        change=changes,
        key=keys,
        if_match=st.none() | st.none() | st.integers(1, 3),
    )
    def change(
        self,
        person: int,
        number: int,
        change: tuple[str, dict[str, Any]],
        key: str | None,
        if_match: int | None,
    ) -> None:
        user_id, model = self._person(person)
        session_id = self._session_id(number)
        verb, body = change
        asked = (verb, session_id, body)
        expected = self._of_key(model, key, asked) or model.answer_to(
            verb, session_id, body, if_match
        )
        request = ("POST", f"/sessions/{session_id}/{verb}")
        if verb == "update":
            request = ("PATCH", f"/sessions/{session_id}")
        response = self._command(user_id, request, expected, body=body, key=key, if_match=if_match)
        life = model.sessions.get(session_id)
        if life and not life.is_changed_by(verb, body) and key not in model.keys:
            key = None  # an answer without an event is not remembered
        if self._is_new(model, response, key, asked):
            assert life
            if life.is_changed_by(verb, body):
                life.execute(verb, body)
            self._is_told(life, response)
        if expected[1] == "ACTIVE_SESSION_EXISTS":
            assert model.active
            details = response.json()["error"]["details"]
            assert details["activeSessionId"] == model.active.id

    @rule(person=people, number=numbers, known=st.booleans())
    def look_at(self, person: int, number: int, known: bool) -> None:
        user_id, model = self._person(person)
        session_id = self._session_id(number)
        life = model.sessions.get(session_id)
        headers = {"If-None-Match": f'"{life.version}"'} if life and known else {}
        response = self._call(user_id, "GET", f"/sessions/{session_id}", headers=headers)
        assert response.status_code == (404 if life is None else 304 if known else 200)
        if life and not known:
            assert response.content == life.content
            assert response.headers["ETag"] == f'"{life.version}"'

    @rule(
        person=people,
        statuses=st.lists(st.sampled_from(["planned", "in_progress", "failed"]), unique=True),
        since=st.none() | dates,
        until=st.none() | dates,
        limit=st.integers(1, 4),
    )
    def look_at_all(
        self, person: int, statuses: list[str], since: str | None, until: str | None, limit: int
    ) -> None:
        user_id, model = self._person(person)
        given = {"status": statuses, "from": since, "to": until}
        parameters = {name: value for name, value in given.items() if value}
        found = self._pages(user_id, "/sessions", "sessions", parameters, limit)
        expected = model.listed(statuses, since, until)
        assert [each | life.dto() for each, life in zip(found, expected, strict=True)] == found

    @rule(person=people, number=numbers, limit=st.integers(1, 3))
    def look_back(self, person: int, number: int, limit: int) -> None:
        user_id, model = self._person(person)
        session_id = self._session_id(number)
        path = f"/sessions/{session_id}/events"
        life = model.sessions.get(session_id)
        if life is None:
            assert self._call(user_id, "GET", path).status_code == 404
            return
        found = self._pages(user_id, path, "events", {}, limit)
        assert [(each["type"], each["data"]) for each in found] == life.events
        assert [each["sessionVersion"] for each in found] == [*range(1, life.version + 1)]
        times = [each["occurredAt"] for each in found]
        assert all(earlier <= later for earlier, later in pairwise(times))

    def teardown(self) -> None:
        for user_id, model in getattr(self, "people", {}).items():
            rows = self.runner.run(self._queued(user_id))
            assert rows == sum(life.version for life in model.sessions.values())

    async def _queued(self, user_id: UUID) -> Any:
        return await self.database.value(
            "SELECT count(*) FROM events JOIN outbox ON event_id = id WHERE events.user_id = $1",
            user_id,
        )

    def _person(self, number: int) -> tuple[UUID, Person]:
        return list(self.people.items())[number]

    def _session_id(self, number: int) -> str:
        """The id of a session of any user, or of no session."""
        every = [each for person in self.people.values() for each in person.sessions]
        return every[number % len(every)] if every else str(uuid4())

    def _of_key(self, model: Person, key: str | None, asked: Any) -> Expected | None:
        if key not in model.keys:
            return None
        if model.keys[key][0] != asked:
            return 422, "IDEMPOTENCY_KEY_REUSED"
        return (201 if asked[0] == "plan" else 200), None

    def _is_new(
        self, model: Person, response: httpx2.Response, key: str | None, asked: Any
    ) -> bool:
        """True if the command was executed, neither refused nor replayed."""
        if response.status_code >= 400:
            return False
        if replayed := key in model.keys:
            assert response.content == model.keys[key][1]
        elif key:
            model.keys[key] = (asked, response.content)
        assert response.headers.get("Idempotent-Replayed") == ("true" if replayed else None)
        return not replayed

    def _is_told(self, life: Life, response: httpx2.Response) -> None:
        answer = response.json()["data"]["session"]
        assert answer | life.dto() == answer
        assert response.headers["ETag"] == f'"{life.version}"'
        assert response.headers["Content-Location"] == f"/sessions/{life.id}"
        life.content = response.content

    def _command(
        self,
        user_id: UUID,
        request: tuple[str, str],
        expected: Expected,
        *,
        body: dict[str, Any],
        key: str | None,
        if_match: int | None = None,
    ) -> httpx2.Response:
        headers = {"Idempotency-Key": key} if key else {}
        if if_match:
            headers["If-Match"] = f'"{if_match}"'
        response = self._call(user_id, *request, json=body, headers=headers)
        code = response.json()["error"]["code"] if response.status_code >= 400 else None
        assert (response.status_code, code) == expected
        return response

    def _pages(
        self, user_id: UUID, path: str, name: str, parameters: dict[str, Any], limit: int
    ) -> list[dict[str, Any]]:
        found = []
        cursor: dict[str, str] = {}
        while True:
            wanted = parameters | {"limit": limit} | cursor
            response = self._call(user_id, "GET", path, params=wanted)
            assert response.status_code == 200
            found += response.json()["data"][name]
            meta = response.json()["meta"]
            if not meta:
                return found
            cursor = {"cursor": meta["nextCursor"]}

    def _call(self, user_id: UUID, method: str, path: str, **options: Any) -> httpx2.Response:
        return self.runner.run(self.app.call(user_id, method, path, **options))


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def test_every_answer_and_event_of_many_lives_matches_the_model(
    runner: asyncio.Runner, cluster: Cluster, template: str
) -> None:
    stack = AsyncExitStack()
    database = runner.run(stack.enter_async_context(a_database(cluster, template=template)))
    app = runner.run(
        stack.enter_async_context(running_app(test_settings(database_url=database.api_url)))
    )
    machine = type("LivesOnAnApp", (Lives,), {"runner": runner, "app": app, "database": database})
    try:
        run_state_machine_as_test(
            machine, settings=settings(max_examples=50, stateful_step_count=30)
        )
    finally:
        runner.run(stack.aclose())

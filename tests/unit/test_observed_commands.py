# SPDX-License-Identifier: MIT
"""Observers count each committed event once, and each uncertain commit by what became of it."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from service.application.commands import PlanSession
from service.application.errors import (
    Contended,
    DependencyUnavailable,
    UserGone,
)
from service.application.group_commit.observing import ObservedCommands, Resolution
from service.domain.session import SessionStatus
from tests.builders import a_command
from tests.unit.in_memory import (
    InMemoryDatabase,
    InMemoryUnitOfWork,
    commands_on,
    execute_together,
    lose_after_commit,
    lose_before_commit,
    results_of,
)

pytestmark = pytest.mark.simulated_time

Loss = Callable[[InMemoryUnitOfWork], None]


@dataclass
class Seen:
    events: Counter[str] = field(default_factory=Counter)
    skipped: int = 0
    resolutions: Counter[str] = field(default_factory=Counter)

    def add(self, observed: ObservedCommands) -> None:
        self.events.update(event.type for event in observed.events)
        self.skipped += observed.skipped
        self.resolutions.update(observed.resolutions)


@pytest.fixture
def seen() -> Seen:
    return Seen()


async def test_counts_both_events_of_a_session_that_is_planned_and_started(
    database: InMemoryDatabase, seen: Seen
) -> None:
    commands = commands_on(database, observe_commands=seen.add)

    await commands.execute(a_command(kind=PlanSession, start_now=True))
    await commands.close()

    assert seen == Seen(Counter(session_planned=1, session_started=1))


async def test_counts_neither_a_refusal_nor_a_replay(
    database: InMemoryDatabase, seen: Seen
) -> None:
    commands = commands_on(database, observe_commands=seen.add)
    ended = a_command(database.add(status=SessionStatus.COMPLETED))
    keyed = a_command(database.add(), idempotency_key="tap-1")

    await results_of(*await execute_together(database, commands, ended, keyed, keyed))
    await commands.execute(keyed)
    await commands.close()

    assert seen == Seen(Counter(session_failed=2))  # with the command that held the slot


async def test_counts_no_attempt_that_failed(database: InMemoryDatabase, seen: Seen) -> None:
    commands = commands_on(database, observe_commands=seen.add)
    database.save_failures.extend([Contended(), Contended()])

    await commands.execute(a_command(database.add()))
    await commands.close()

    assert seen == Seen(Counter(session_failed=1))


async def test_counts_a_command_as_skipped_for_each_attempt_that_found_its_session_held(
    database: InMemoryDatabase, seen: Seen
) -> None:
    commands = commands_on(database, observe_commands=seen.add)
    session = database.add()
    database.held_sessions.add((session.user_id, session.id))
    waiting = asyncio.create_task(commands.execute(a_command(session)))
    for _ in range(3):
        await database.begun.acquire()

    database.held_sessions.clear()
    await waiting
    await commands.close()

    assert seen.skipped in (2, 3)
    assert seen.events == Counter(session_failed=1)


@pytest.mark.parametrize(
    ("losses", "resolution"),
    [
        ([lose_after_commit], Resolution.COMMITTED),
        ([lose_before_commit], Resolution.ROLLED_BACK),
        ([lose_before_commit, lose_after_commit], Resolution.COMMITTED),
        ([lose_before_commit, lose_before_commit], Resolution.ROLLED_BACK),
    ],
    ids=["committed", "rolled_back", "committed at the second", "rolled_back twice"],
)
async def test_an_uncertain_commit_is_counted_once_with_what_became_of_it(
    database: InMemoryDatabase, seen: Seen, losses: list[Loss], resolution: Resolution
) -> None:
    commands = commands_on(database, observe_commands=seen.add)
    database.commit_hooks.extend(losses)

    await commands.execute(a_command(kind=PlanSession, start_now=True))
    await commands.close()

    assert seen == Seen(Counter(session_planned=1, session_started=1), 0, Counter([resolution]))


@pytest.mark.parametrize("lose", [lose_before_commit, lose_after_commit])
async def test_counts_each_command_of_an_uncertain_group_but_not_its_replays(
    database: InMemoryDatabase, seen: Seen, lose: Loss
) -> None:
    commands = commands_on(database, observe_commands=seen.add)
    keyed = a_command(database.add(), idempotency_key="tap-1")
    database.commit_hooks.extend([lambda _work: None, lose])

    await results_of(
        *await execute_together(database, commands, a_command(database.add()), keyed, keyed)
    )
    await commands.close()

    kept = Resolution.COMMITTED if lose is lose_after_commit else Resolution.ROLLED_BACK
    assert seen == Seen(Counter(session_failed=3), 0, Counter({kept: 2}))


async def test_an_uncertain_commit_is_unresolved_if_the_database_stays_away(
    database: InMemoryDatabase, seen: Seen
) -> None:
    commands = commands_on(database, observe_commands=seen.add, timeout=1.0, resolve_timeout=1.0)
    database.commit_hooks.append(lose_after_commit)
    away = (DependencyUnavailable("database") for _ in range(999))
    database.open_failures.extend([None, *away])

    with pytest.raises(DependencyUnavailable):
        await commands.execute(a_command(database.add()))
    await commands.close()

    assert seen == Seen(resolutions=Counter([Resolution.UNRESOLVED]))


async def test_an_uncertain_commit_is_unresolved_if_its_retry_breaks_down(
    database: InMemoryDatabase, seen: Seen
) -> None:
    commands = commands_on(database, observe_commands=seen.add)
    database.commit_hooks.append(lose_before_commit)
    database.save_failures.extend([None, UserGone()])

    with pytest.raises(UserGone):
        await commands.execute(a_command(database.add()))
    await commands.close()

    assert seen == Seen(resolutions=Counter([Resolution.UNRESOLVED]))


async def test_a_command_that_expired_before_its_commit_is_no_uncertain_one(
    database: InMemoryDatabase, seen: Seen
) -> None:
    commands = commands_on(database, observe_commands=seen.add, timeout=1.0)
    session = database.add()
    database.held_sessions.add((session.user_id, session.id))

    await results_of(commands.execute(a_command(session)))
    await commands.close()

    assert seen.resolutions == Counter()
    assert seen.skipped > 0

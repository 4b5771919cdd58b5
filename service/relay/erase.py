# SPDX-License-Identifier: MIT
"""Erases a user from the database and from the stream."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

from service.application.erasure import Erased, Erasure
from service.application.progress import Progress
from service.relay.findings import PAGE_SIZE, ask_for_each
from service.relay.lease import Lease
from service.relay.messages import subjects_of_session
from service.relay.stored import StoredMessage
from service.relay.stream_api import StreamApi

SESSIONS_IN_A_TURN = 100
"""Few, because relays wait for the end of the turn."""


async def erase(
    erasure: Erasure,
    stream: StreamApi,
    user_id: UUID,
    *,
    lease: float,
    pause: float,
    progress: Progress,
    erased: Erased,
) -> None:
    """Erases the user's sessions and all that belongs to them; adds to `erased` as it goes.

    The messages go before the rows, without which their subjects would be unknown; and in a turn,
    so that no relay publishes one of them in between. So after any interruption, what is left is
    found again. Pauses after each turn, for the relays. Raises BrokerUnavailable, TransactionFailed
    and DependencyUnavailable.
    """
    progress.begin("erase", await erasure.count_sessions(user_id), "sessions")
    while True:
        async with erasure.turn() as turn:
            sessions = await turn.sessions(user_id, SESSIONS_IN_A_TURN)
            async with Lease(turn, lease):
                purged = await ask_for_each(_purge(stream), sessions)
            rows = await turn.erase(user_id, sessions)
            await turn.commit()
        erased.add(rows, sum(purged))
        progress.advance(len(sessions))
        if len(sessions) < SESSIONS_IN_A_TURN:  # not `if not sessions`: a user may go on training
            break
        await asyncio.sleep(pause)
    await erasure.confirm()


async def erase_from_stream(
    stream: StreamApi, user_id: UUID, *, progress: Progress, erased: Erased
) -> None:
    """Reads all messages of the stream, and deletes those that name the user.

    For a user whose rows are gone already. Raises BrokerUnavailable.
    """
    state = await stream.state()
    first, last = max(state.first_sequence, 1), state.last_sequence
    progress.begin("search the stream", max(last - first + 1, 0), "messages")

    async def delete_if_named(message: StoredMessage | None) -> bool:
        if message is None or message.user_id != user_id:
            return False
        return await stream.delete(message.sequence)

    for start in range(first, last + 1, PAGE_SIZE):
        page = range(start, min(start + PAGE_SIZE, last + 1))
        messages = await ask_for_each(stream.message, page)
        erased.messages += sum(await ask_for_each(delete_if_named, messages))
        progress.advance(len(page))


def _purge(stream: StreamApi) -> Callable[[UUID], Awaitable[int]]:
    return lambda session_id: stream.purge(subjects_of_session(session_id))

# SPDX-License-Identifier: MIT
"""The stream for the events: created and checked."""

from collections.abc import Iterator
from dataclasses import dataclass

from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

from service.relay.broker import Broker
from service.relay.errors import StreamMissing, WrongStream
from service.relay.messages import SUBJECT, SUBJECTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """The required stream. `duplicate_window`: seconds for which it must remember message ids."""

    name: str
    replicas: int
    duplicate_window: float


async def ensure(broker: Broker, stream: Stream) -> None:
    """Creates the stream if it is missing. Raises BrokerUnavailable and WrongStream."""
    try:
        await require(broker, stream)
    except StreamMissing:
        await _create(broker, stream)
        await require(broker, stream)


async def require(broker: Broker, stream: Stream) -> None:
    """Raises WrongStream if the stream would lose or duplicate events, and BrokerUnavailable."""
    state = await broker.stream.state()
    if faults := list(_find_faults(state.config, stream)):
        raise WrongStream(f"The stream {stream.name} cannot be used: {'; '.join(faults)}.")
    # A missing permission to read messages should show now, not at the first duplicate.
    await broker.stream.message(state.last_sequence + 1)
    broker.is_atomic = bool(state.config.allow_atomic)


async def _create(broker: Broker, stream: Stream) -> None:
    config = StreamConfig(
        name=stream.name,
        description="Events of training sessions",
        subjects=[SUBJECTS],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        discard=DiscardPolicy.NEW,
        duplicate_window=stream.duplicate_window,
        num_replicas=stream.replicas,
        allow_atomic=True,
    )
    await broker.stream.create(config)


def _find_faults(config: StreamConfig, stream: Stream) -> Iterator[str]:
    if config.storage != StorageType.FILE:
        yield f"its storage is {config.storage}, and must be file"
    if config.discard != DiscardPolicy.NEW:
        yield "when full it discards old events, and must refuse new ones (discard=new)"
    if config.retention != RetentionPolicy.LIMITS:
        yield f"its retention is {config.retention}, and must be limits"
    if config.no_ack:
        yield "it does not acknowledge"
    if config.sealed:
        yield "it is sealed"
    if not any(_covers(subject) for subject in config.subjects or ()):
        yield f"its subjects do not include {SUBJECTS}"
    if config.duplicate_window < stream.duplicate_window:
        yield (
            f"its duplicate window is {config.duplicate_window:g} s, and must be at least"
            f" {stream.duplicate_window:g} s"
        )
    if (config.num_replicas or 1) < stream.replicas:
        yield f"it has {config.num_replicas} replicas, and must have {stream.replicas}"


def _covers(pattern: str) -> bool:
    """True if the pattern matches the subject of every event."""
    given, wanted = pattern.split("."), SUBJECT.split(".")
    if given[-1] == ">":
        given.pop()
        wanted = wanted[: len(given)]
    return len(given) == len(wanted) and all(
        one in {"*", other} for one, other in zip(given, wanted, strict=True)
    )

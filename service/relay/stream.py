"""The stream that events go to: as it has to be, or refused."""

from collections.abc import Iterator
from dataclasses import dataclass

from nats.errors import Error as NatsError
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError

from service.relay.broker import Broker
from service.relay.errors import BrokerUnavailable, WrongStream
from service.relay.messages import SUBJECT, SUBJECTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """`duplicate_window`: for how long the broker remembers ids of messages, in seconds."""

    name: str
    replicas: int
    duplicate_window: float


async def ensure(broker: Broker, stream: Stream) -> None:
    """Makes the stream where there is none. Raises BrokerUnavailable and WrongStream."""
    if await _found(broker, stream) is None:
        await _make(broker, stream)
    await require(broker, stream)


async def require(broker: Broker, stream: Stream) -> None:
    """Raises WrongStream where the stream would lose or double events, and BrokerUnavailable."""
    config = await _found(broker, stream)
    if config is None:
        raise BrokerUnavailable(f"the stream {stream.name} is missing")
    if complaints := list(_complaints(config, stream)):
        raise WrongStream(f"The stream {stream.name} will not do: {'; '.join(complaints)}.")
    broker.takes_batches = bool(config.allow_atomic)


async def _found(broker: Broker, stream: Stream) -> StreamConfig | None:
    jetstream = await broker.jetstream()
    try:
        return (await jetstream.stream_info(stream.name)).config
    except NotFoundError:
        return None
    except NatsError as exc:
        raise _unavailable(exc) from exc


async def _make(broker: Broker, stream: Stream) -> None:
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
    jetstream = await broker.jetstream()
    try:
        await jetstream.add_stream(config)
    except NatsError as exc:
        raise _unavailable(exc) from exc


def _complaints(config: StreamConfig, stream: Stream) -> Iterator[str]:
    if config.storage != StorageType.FILE:
        yield f"its storage is {config.storage}, and has to be file"
    if config.discard != DiscardPolicy.NEW:
        yield "when it is full it discards old events, and has to refuse new ones (discard=new)"
    if config.retention != RetentionPolicy.LIMITS:
        yield f"its retention is {config.retention}, and has to be limits"
    if config.no_ack:
        yield "it does not acknowledge"
    if config.sealed:
        yield "it is sealed"
    if not any(_covers(subject) for subject in config.subjects or ()):
        yield f"its subjects do not include {SUBJECTS}"
    if config.duplicate_window < stream.duplicate_window:
        yield (
            f"its duplicate window is {config.duplicate_window:g} s, and has to be at least"
            f" {stream.duplicate_window:g} s"
        )
    if (config.num_replicas or 1) < stream.replicas:
        yield f"it has {config.num_replicas} replicas, and has to have {stream.replicas}"


def _covers(pattern: str) -> bool:
    """Whether every subject of an event matches this pattern."""
    given, wanted = pattern.split("."), SUBJECT.split(".")
    if given[-1] == ">":
        given.pop()
        wanted = wanted[: len(given)]
    return len(given) == len(wanted) and all(
        one in {"*", other} for one, other in zip(given, wanted, strict=True)
    )


def _unavailable(exc: NatsError) -> BrokerUnavailable:
    return BrokerUnavailable(f"JetStream does not answer as it should ({type(exc).__name__})")

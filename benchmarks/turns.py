# SPDX-License-Identifier: MIT
"""Loads servers in turns of a second, all of them up at once, so that a drift of the machine
disturbs all of them alike."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from benchmarks import load
from benchmarks.cluster import Cluster
from benchmarks.contenders.catalogue import SERVICE
from benchmarks.fresh import Fresh, Share
from benchmarks.load import Load
from benchmarks.plan import LOAD, Plan, Scenario
from benchmarks.processes import Server

TURN_SECONDS = 1
POSTGRES = {"max_connections": "300"}
"""Each server has its own connections."""

BeforeTurn = Callable[[int, int], None]
"""Is called with the round, 0 for the warm-up, and the index of the server."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """`*_cpu`: seconds of processor time during the turn."""

    load: Load
    server_cpu: float
    database_cpu: float

    @property
    def rate(self) -> float:
        """Successes per second."""
        return self.load.succeeded / self.load.seconds

    @property
    def server_cost(self) -> float:
        """Processor time of the server for 1,000 successes, in seconds."""
        return 1000 * self.server_cpu / max(self.load.succeeded, 1)


@dataclass(frozen=True)
class Ratio:
    median: float
    lower: float
    upper: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Ratio":
        """With the quartiles."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        lower, middle, upper = quantiles(values, n=4, method="inclusive")
        return cls(middle, lower, upper)


@dataclass(frozen=True)
class Series:
    """The turns of a server, one for each round."""

    turns: list[Turn]

    @property
    def rate(self) -> float:
        return median(turn.rate for turn in self.turns)

    @property
    def server_cost(self) -> float:
        return self._per_thousand(sum(turn.server_cpu for turn in self.turns))

    @property
    def database_cost(self) -> float:
        return self._per_thousand(sum(turn.database_cpu for turn in self.turns))

    @property
    def generator_cost(self) -> float:
        return self._per_thousand(sum(turn.load.generator_cpu for turn in self.turns))

    @property
    def p50(self) -> float:
        return median(turn.load.p50 for turn in self.turns)

    @property
    def p99(self) -> float:
        return median(turn.load.p99 for turn in self.turns)

    @property
    def errors(self) -> int:
        return sum(turn.load.errors for turn in self.turns)

    def throughput_against(self, base: "Series") -> Ratio:
        return self._against(base, lambda turn: turn.rate)

    def cost_against(self, base: "Series") -> Ratio:
        return self._against(base, lambda turn: turn.server_cost)

    def _against(self, base: "Series", value: Callable[[Turn], float]) -> Ratio:
        pairs = zip(self.turns, base.turns, strict=True)
        return Ratio.of([value(this) / (value(that) or 1) for this, that in pairs])

    def _per_thousand(self, seconds: float) -> float:
        return 1000 * seconds / max(sum(turn.load.succeeded for turn in self.turns), 1)


def plan_of_turns(
    scenarios: Sequence[Scenario], *, servers: int, rounds: int, rate_max: int
) -> Plan:
    """Prepares the requests of all turns, those that warm the servers up included."""
    return Plan(
        contenders=(SERVICE,),
        scenarios=tuple(scenarios),
        parts=(LOAD,),
        rounds=rounds,
        duration=servers * (rounds + 1) * TURN_SECONDS,
        warm_up=0,
        rate_max=rate_max,
        soak=0,
        nats_sync="always",
        postgres=POSTGRES,
    )


def order(servers: int, round_: int) -> Sequence[int]:
    """Reversed in every other round, so that no server profits from its place."""
    return range(servers) if round_ % 2 == 0 else range(servers)[::-1]


def in_turns(
    servers: Sequence[Server],
    cluster: Cluster,
    fresh: Fresh,
    scenario: Scenario,
    *,
    rounds: int,
    before_turn: BeforeTurn | None = None,
) -> list[Series]:
    """Loads each server once in each round, after a first round that is not counted.

    The requests of `fresh` are divided among the turns.
    """
    seen: list[list[Turn]] = [[] for _ in servers]
    shares = _shares(fresh, len(servers) * (rounds + 1))
    for round_ in range(rounds + 1):
        for index in order(len(servers), round_):
            if before_turn:
                before_turn(round_, index)
            turn = _turn(servers[index], cluster, fresh, scenario, next(shares))
            if round_:
                seen[index].append(turn)
    return [Series(turns) for turns in seen]


def _shares(fresh: Fresh, turns: int) -> Iterator[Share]:
    size = fresh.count // turns
    return (Share(number * size, size) for number in range(turns))


def _turn(server: Server, cluster: Cluster, fresh: Fresh, scenario: Scenario, share: Share) -> Turn:
    load.greet(server.url, fresh, share, scenario, TURN_SECONDS)
    before = server.cpu_seconds(), cluster.cpu_seconds()
    one = load.over_http(server.url, fresh, share, scenario, TURN_SECONDS)
    return Turn(
        load=one,
        server_cpu=server.cpu_seconds() - before[0],
        database_cpu=cluster.cpu_seconds() - before[1],
    )

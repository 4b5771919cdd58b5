# SPDX-License-Identifier: MIT
"""One measurement: a database of its own, the check, the warm-up, the run."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from benchmarks.checks.expectations import DoesNotDoTheJob
from benchmarks.cluster import Cluster
from benchmarks.contenders.catalogue import Contender
from benchmarks.disk import Disk
from benchmarks.fresh import Fresh, Share
from benchmarks.issuer import Issuer
from benchmarks.load import LATENCIES, Load, LoadFailed
from benchmarks.parts import Measurement
from benchmarks.plan import READING, Plan, Scenario
from benchmarks.processes import ServerDied
from benchmarks.subjects import Setting, prepared

COUNT_WRITTEN = "SELECT count(*) FROM outbox"
SETTLE_SECONDS = 1


class CannotMeasure(Exception):
    """The message names the contender and the error."""


@dataclass(frozen=True)
class Bench:
    plan: Plan
    cluster: Cluster
    fresh: Fresh
    issuers: dict[str, Issuer]
    data: Path

    def measure(self, contender: Contender, scenario: Scenario, round_: int) -> Measurement:
        """Raises CannotMeasure."""
        with (
            naming(f"{contender.title}, {scenario}"),
            self.setting(contender, scenario) as setting,
            prepared(contender, setting) as subject,
        ):
            subject.check()
            subject.load(self.warm_up, self.plan.warm_up)
            subject.greet(self.measured, self.plan.warm_up)
            time.sleep(SETTLE_SECONDS)
            written = count_written(setting)
            before = subject.cpu_seconds(), self.cluster.cpu_seconds()
            with Disk.probed(self.data) as disk:
                seen = subject.load(self.measured, self.plan.duration)
            after = subject.cpu_seconds(), self.cluster.cpu_seconds()
            time.sleep(SETTLE_SECONDS)
            require_written(count_written(setting) - written, seen, setting, subject.under_way)
            memory = subject.memory()
        thousands = max(seen.succeeded, 1) / 1000
        return Measurement(
            contender=contender.name,
            scenario=scenario,
            round=round_,
            requests_per_second=seen.succeeded / seen.seconds,
            **{name: getattr(seen, name) for name in LATENCIES},
            errors=seen.errors,
            server_cpu=(after[0] - before[0]) / thousands,
            database_cpu=(after[1] - before[1]) / thousands,
            generator_cpu=seen.generator_cpu / thousands,
            resident=memory.resident,
            proportional=memory.proportional,
            slowest_sync=disk.slowest,
            stalled=disk.stalled,
        )

    @property
    def warm_up(self) -> Share:
        return Share(0, self.plan.rate_max * self.plan.warm_up)

    @property
    def measured(self) -> Share:
        return Share(self.warm_up.count, self.plan.rate_max * self.plan.duration)

    @contextmanager
    def setting(self, contender: Contender, scenario: Scenario) -> Iterator[Setting]:
        of_its_own: AbstractContextManager[str | None] = (
            self.cluster.fresh_database(scenario.rows, self.fresh)
            if contender.uses_database
            else nullcontext()
        )
        with of_its_own as database:
            yield Setting(
                scenario=scenario,
                cluster=self.cluster,
                database=database,
                fresh=self.fresh,
                issuer=self.issuers[scenario.algorithm],
                data=self.data,
                of_service=self.plan.service,
            )


@contextmanager
def naming(subject: str) -> Iterator[None]:
    """Turns every error of this subject into CannotMeasure."""
    try:
        yield
    except (DoesNotDoTheJob, LoadFailed, ServerDied) as exc:
        raise CannotMeasure(f"{subject}: {exc}") from exc


def count_written(setting: Setting) -> int:
    if setting.database is None:
        return 0
    return int(setting.cluster.value(setting.database, COUNT_WRITTEN))


def require_written(written: int, seen: Load, setting: Setting, under_way: int) -> None:
    """Requires one row in the outbox for each change that was answered, and no others.

    Allows for requests that were `under_way` at the end of the load and of the warm-up.
    """
    if setting.database is None:
        return
    least = seen.written
    most = 0 if setting.scenario.kind in READING else seen.written + seen.errors + 2 * under_way
    if not least <= written <= most:
        raise DoesNotDoTheJob(f"{seen.written:,} changes, but {written:,} events were written.")

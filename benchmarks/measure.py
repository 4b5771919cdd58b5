"""One measurement: a database of its own, the check, the warm-up, the run."""

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from benchmarks.checks import DoesNotDoTheJob
from benchmarks.cluster import Cluster
from benchmarks.contenders.catalogue import CONTENDERS, SERVICE, Contender
from benchmarks.fresh import Fresh, Share
from benchmarks.issuer import Issuer
from benchmarks.load import Load, LoadFailed
from benchmarks.plan import BASE, Plan, Scenario
from benchmarks.processes import ServerDied
from benchmarks.results import Measurement, Soak
from benchmarks.subjects import Setting, Subject, prepared

COUNT_WRITTEN = "SELECT count(*) FROM outbox"
SETTLE_SECONDS = 1
SAMPLE_SECONDS = 5.0


class CannotMeasure(Exception):
    """Says what went wrong with which contender."""


@dataclass(frozen=True)
class Bench:
    plan: Plan
    cluster: Cluster
    fresh: Fresh
    issuers: dict[str, Issuer]
    data: Path

    def measure(self, contender: Contender, scenario: Scenario, round_: int) -> Measurement:
        """Raises CannotMeasure."""
        try:
            with self._setting(contender, scenario) as setting:
                return self._measure(contender, setting, round_)
        except (DoesNotDoTheJob, LoadFailed, ServerDied) as exc:
            raise CannotMeasure(f"{contender.title}, {scenario}: {exc}") from exc

    def soak(self) -> Soak:
        """This service under load for long, to see whether its memory grows."""
        contender, seconds = CONTENDERS[SERVICE], self.plan.soak
        with (
            self._setting(contender, BASE) as setting,
            prepared(contender, setting) as subject,
            _memory_of(subject) as samples,
        ):
            seen = subject.load(Share(0, self.fresh.count), seconds)
        return Soak(
            interval=SAMPLE_SECONDS,
            requests_per_second=seen.succeeded / seen.seconds,
            errors=seen.errors,
            resident=samples,
        )

    def _measure(self, contender: Contender, setting: Setting, round_: int) -> Measurement:
        warm_up = Share(0, self.plan.rate_max * self.plan.warm_up)
        measured = Share(warm_up.count, self.plan.rate_max * self.plan.duration)
        with prepared(contender, setting) as subject:
            subject.check()
            subject.load(warm_up, self.plan.warm_up)
            time.sleep(SETTLE_SECONDS)
            written = _written(setting)
            before = subject.cpu_seconds(), self.cluster.cpu_seconds()
            seen = subject.load(measured, self.plan.duration)
            after = subject.cpu_seconds(), self.cluster.cpu_seconds()
            memory = subject.memory()
            time.sleep(SETTLE_SECONDS)
            _require_written(_written(setting) - written, seen, setting, subject)
        thousands = max(seen.succeeded, 1) / 1000
        return Measurement(
            contender=contender.name,
            scenario=setting.scenario,
            round=round_,
            requests_per_second=seen.succeeded / seen.seconds,
            p50=seen.p50,
            p90=seen.p90,
            p99=seen.p99,
            p999=seen.p999,
            max=seen.max,
            errors=seen.errors,
            server_cpu=(after[0] - before[0]) / thousands,
            database_cpu=(after[1] - before[1]) / thousands,
            resident=memory.resident,
            proportional=memory.proportional,
        )

    @contextmanager
    def _setting(self, contender: Contender, scenario: Scenario) -> Iterator[Setting]:
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


def _written(setting: Setting) -> int:
    if setting.database is None:
        return 0
    return int(setting.cluster.value(setting.database, COUNT_WRITTEN))


def _require_written(written: int, seen: Load, setting: Setting, subject: Subject) -> None:
    """Every success that was answered has its row in the outbox, and nothing else has."""
    most = seen.succeeded + seen.errors + subject.under_way_at_end
    if setting.database and not seen.succeeded <= written <= most:
        raise DoesNotDoTheJob(f"{seen.succeeded:,} successes, but {written:,} events were written.")


@contextmanager
def _memory_of(subject: Subject) -> Iterator[list[float]]:
    samples: list[float] = []
    stop = threading.Event()

    def sample() -> None:
        while not stop.wait(SAMPLE_SECONDS):
            samples.append(subject.memory().resident)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join()

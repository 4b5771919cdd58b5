# SPDX-License-Identifier: MIT
"""The table of all faults."""

from functools import partial
from signal import SIGKILL, SIGSTOP, SIGTERM

from tests.chaos import faults_of_database as database
from tests.chaos import faults_of_links as links
from tests.chaos import faults_of_processes as processes
from tests.chaos import faults_of_strangers as strangers
from tests.chaos.installation import Installation
from tests.chaos.nemesis import Cause, Fault
from tests.group_commit.proxy import Cut

CUTS = {
    "before COMMIT": Cut.BEFORE_COMMIT,
    "in COMMIT": Cut.AFTER_SENDING,
    "after COMMIT": Cut.AFTER_EXECUTION,
    "silent before COMMIT": Cut.VANISHED_BEFORE,
    "silent after COMMIT": Cut.VANISHED_AFTER,
}


def faults_of(installation: Installation) -> list[Fault]:
    """Those that this machine can cause."""
    return [*_of_processes(installation), *_of_links(installation), *_of_database(installation)]


def left_out(installation: Installation) -> list[str]:
    """A sentence for each fault that this machine cannot cause."""
    found = []
    if installation.clock is None:
        found.append("clock of a replica: libfaketime is missing. sudo apt install faketime")
    if not installation.postgres_disk.is_small:
        found.append("disks full: only root can mount a small tmpfs")
    return found


def _fault(name: str, cause: Cause, *parts: str) -> Fault:
    return Fault(name, cause, frozenset(parts))


def _of_processes(installation: Installation) -> list[Fault]:
    found = []
    for part in installation.replicas:
        found += [
            _fault("API worker killed (-9)", partial(processes.worker_killed, part), part.name),
            _fault("API worker frozen", partial(processes.worker_frozen, part), part.name),
        ]
    for part in installation.parts:
        kind = "replica" if part in installation.replicas else "relay"
        found += [
            _fault(f"{kind} killed (-9)", partial(processes.ended, part, SIGKILL), part.name),
            _fault(f"{kind} frozen", partial(processes.frozen, part, SIGSTOP), part.name),
        ]
    names = [part.name for part in installation.parts]
    found += [
        _fault("rolling restart", processes.rolling_restart, *names),
        _fault("relays restarted", partial(processes.ended, installation.relays[0], SIGTERM),
               installation.relays[0].name),
        _fault("broker killed (-9)", processes.broker_killed, "broker"),
        _fault("broker frozen", processes.broker_frozen, "broker"),
        _fault("keys rotated", processes.keys_rotated, "keys"),
    ]  # fmt: skip
    if installation.clock:
        found += [
            _fault(f"clock {offset} on a replica", partial(processes.clock_set, offset), "clock")
            for offset in ("+1h", "-1h")
        ]
    if installation.broker_disk.is_small:
        found.append(_fault("disk of the broker full", processes.broker_disk_full, "broker"))
    return found


def _of_links(installation: Installation) -> list[Fault]:
    found = []
    for name, link in installation.links.items():
        kinds = {
            "latency of 200 ms": links.slow,
            "loss of 10 %": links.lossy,
            "partition": links.parted,
            "partition, one way": links.parted_one_way,
            "half-open connections": links.half_open,
            "connections reset": links.refused,
        }
        found += [
            _fault(f"{kind}: {_both(name)}", partial(cause, link), f"link {name}")
            for kind, cause in kinds.items()
        ]
    return [*found, *_of_commits(installation)]


def _of_commits(installation: Installation) -> list[Fault]:
    """Of the relays, one alone makes turns; which one is not known, so both are cut."""
    links_to_database = [name for name in installation.links if name.endswith("to database")]
    of_relays = [name for name in links_to_database if name.startswith("relay")]
    groups = [*([name] for name in links_to_database if name not in of_relays), of_relays]
    return [
        _fault(
            f"cut {moment}: {_both(names[0])}",
            partial(links.cut_at_commit, [installation.links[name] for name in names], cut),
            *(f"link {name}" for name in names),
        )
        for names in groups
        for moment, cut in CUTS.items()
    ]


def _both(name: str) -> str:
    """Replicas and relays are alike."""
    return name.translate(str.maketrans("", "", "-12"))


def _of_database(installation: Installation) -> list[Fault]:
    server = "database"
    found = [
        _fault("PostgreSQL killed (-9)", database.killed, server),
        _fault("PostgreSQL frozen", database.frozen, server),
        _fault("a backend killed (-9)", database.backend_killed, server),
        _fault("backends terminated", database.backends_terminated, "backends"),
        _fault("rows locked by a stranger", strangers.rows_locked, "locks"),
        _fault("a table locked by a stranger", strangers.table_locked, "locks"),
        _fault("max_connections used up", strangers.connections_used_up, server),
        _fault("a migration", database.migrated, "locks"),
        _fault("a column added", database.column_added, "locks"),
    ]
    if installation.postgres_disk.is_small:
        found.append(_fault("disk of PostgreSQL full", database.disk_full, server))
    return found

# SPDX-License-Identifier: MIT
"""The servers of a comparison: contenders, and variants of this service."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.checkouts import checkout_of
from benchmarks.contenders.catalogue import CONTENDERS, ROOT, SERVICE, Contender, Site, Start
from benchmarks.processes import Server
from benchmarks.subjects import Setting, started


@dataclass(frozen=True)
class Entrant:
    """`settings`: of this service, other than its defaults."""

    title: str
    contender: Contender
    settings: dict[str, str] = field(default_factory=dict)


@contextmanager
def entrants(
    *,
    against: Sequence[str] = (),
    contenders: Sequence[str] = (),
    variants: Sequence[tuple[str, str]] = (),
    interpreters: Sequence[str] = (),
) -> Iterator[list[Entrant]]:
    """This service is one of them if no contender is named.

    `against`: directories or revisions of this service. Raises NoCheckout.
    """
    service = CONTENDERS[SERVICE]
    with ExitStack() as stack:
        directories = [stack.enter_context(checkout_of(each, ROOT)) for each in against]
        yield [
            *(
                Entrant(f"service of {name}", _moved(service, directory=directory))
                for name, directory in zip(against, directories, strict=True)
            ),
            *(Entrant(name, CONTENDERS[name]) for name in contenders or [SERVICE]),
            *(
                Entrant(f"service, {name}={value}", service, {name: value})
                for name, value in variants
            ),
            *(
                Entrant(f"service by {each}", _moved(service, interpreter=each))
                for each in interpreters
            ),
        ]


def _moved(
    contender: Contender, *, directory: Path | None = None, interpreter: str | None = None
) -> Contender:
    begin = contender.start
    assert begin  # noqa: S101  this service is a server

    def start(site: Site) -> Start:
        begun = begin(site)
        command = [interpreter, *begun.command[1:]] if interpreter else begun.command
        return replace(begun, command=command, directory=directory or begun.directory)

    return replace(contender, start=start)


@contextmanager
def all_started(chosen: Sequence[Entrant], setting: Setting) -> Iterator[list[Server]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                started(
                    each.contender,
                    replace(setting, of_service=setting.of_service | each.settings),
                )
            )
            for each in chosen
        ]

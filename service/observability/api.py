# SPDX-License-Identifier: MIT
"""Counts what the observers of the API are told."""

import time
from collections.abc import Callable

from service.application.group_commit.observing import ObservedCommands, Resolution
from service.application.group_commit.pending import GroupMetrics, ObserveGroup
from service.domain.events import EVENTS
from service.http.observing import KeySetFetch, ObservedRequest, TokenCheck
from service.observability import catalogue
from service.observability.counting import Counter, Distribution, Histogram
from service.observability.families import Snapshot
from service.observability.state import ApiState

UNKNOWN_ROUTE, OTHER_METHOD = "(unknown)", "(other)"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Further ones are counted as one, so that clients cannot add to the labels."""

ReadState = Callable[[], ApiState]

KINDS = COMMANDS, READS = "commands", "reads"

_TRANSITIONS = {each.type: each.type.removeprefix("session_") for each in EVENTS}


class ApiMetrics:
    def __init__(self, *, has_key_set: bool) -> None:
        self._read_state: ReadState | None = None
        self._has_key_set = has_key_set
        self._keys_fetched_at = 0.0
        self._by_request: dict[tuple[object, ...], tuple[list[float], Distribution]] = {}
        self._requests = Counter(catalogue.REQUESTS)
        self._durations = Histogram(catalogue.REQUEST_DURATION)
        self._waits = Histogram(catalogue.QUEUE_WAIT, *KINDS)
        self._group_durations = Histogram(catalogue.GROUP_DURATION, *KINDS)
        self._group_sizes = Histogram(catalogue.GROUP_SIZE, *KINDS)
        self._retries = Counter(catalogue.RETRIES, *KINDS)
        self._skipped = Counter(catalogue.SKIPPED)
        self._uncertain = Counter(catalogue.UNCERTAIN, *Resolution)
        self._transitions = Counter(catalogue.TRANSITIONS, *_TRANSITIONS.values())
        self._token_checks = Counter(catalogue.TOKEN_CHECKS, *TokenCheck)
        self._checks = {check: self._token_checks.cell(check) for check in TokenCheck}
        self._fetches = Counter(catalogue.JWKS_FETCHES, *(KeySetFetch if has_key_set else ()))
        self._recorded = [
            each for each in vars(self).values() if isinstance(each, Counter | Histogram)
        ]

    def watch(self, read_state: ReadState) -> None:
        self._read_state = read_state

    def observe_request(self, observed: ObservedRequest) -> None:
        cell, durations = self._by_request.get(observed[:4]) or self._begin_to_count(observed)
        cell[0] += 1
        durations.observe(observed.seconds)

    def _begin_to_count(self, observed: ObservedRequest) -> tuple[list[float], Distribution]:
        method = observed.method if observed.method in METHODS else OTHER_METHOD
        route = observed.route or UNKNOWN_ROUTE
        status = str(observed.status)
        found = (
            self._requests.cell(method, route, status, observed.code or ""),
            self._durations.distribution(method, route, status),
        )
        self._by_request[observed[:4]] = found
        return found

    def observe_groups(self, kind: str) -> ObserveGroup:
        """The observer for groups of this kind."""
        waits = self._waits.distribution(kind)
        durations = self._group_durations.distribution(kind)
        sizes = self._group_sizes.distribution(kind)

        def observe(group: GroupMetrics) -> None:
            durations.observe(group.duration)
            sizes.observe(group.size)
            for wait in group.waits:
                waits.observe(wait)
            if group.retries:
                self._retries.add(kind, number=group.retries)

        return observe

    def observe_commands(self, observed: ObservedCommands) -> None:
        for event in observed.events:
            self._transitions.add(_TRANSITIONS[event.type])
        for resolution in observed.resolutions:
            self._uncertain.add(resolution)
        if observed.skipped:
            self._skipped.add(number=observed.skipped)

    def observe_token_check(self, check: TokenCheck) -> None:
        self._checks[check][0] += 1

    def observe_key_set_fetch(self, fetch: KeySetFetch) -> None:
        self._fetches.add(fetch)
        if fetch is KeySetFetch.OK:
            self._keys_fetched_at = time.time()

    def snapshot(self) -> Snapshot:
        """May be taken in any thread."""
        counted = {each.family.name: each.samples() for each in self._recorded}
        if self._has_key_set:
            counted[catalogue.JWKS_FETCHED.name] = {(): [self._keys_fetched_at]}
        return counted | (self._read_state().snapshot() if self._read_state else {})

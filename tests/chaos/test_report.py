# SPDX-License-Identifier: MIT
"""The report finds by order what a look at every request finds."""

from math import inf
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.history import Attempt, Wrong
from tests.chaos.nemesis import Span
from tests.chaos.report import Met, Report, Row, Successes, report

moments = st.integers(0, 30).map(float)
durations = st.integers(0, 12).map(float)
NEVER = st.just(inf)


@st.composite
def attempts(draw: st.DrawFn) -> Attempt:
    begun = draw(moments)
    left = begun + draw(durations | NEVER)
    return Attempt("request-1", UUID(int=1), "get", begun=begun, ended=left, left=left)


@st.composite
def spans(draw: st.DrawFn) -> Span:
    begun = draw(moments)
    return Span("replica frozen", begun, begun + draw(durations | NEVER))


@given(history=st.lists(attempts()), span=spans())
def test_finds_the_requests_that_met_a_fault(history: list[Attempt], span: Span) -> None:
    met = Met(history).by(span)

    assert sorted(map(id, met)) == sorted(id(each) for each in history if span.meets(each))


@given(done=st.lists(attempts()), moment=moments)
def test_finds_the_first_success_after_a_fault(done: list[Attempt], moment: float) -> None:
    later = [each.ended for each in done if each.begun >= moment]

    assert Successes(done).first_after(moment) == min(later, default=moment)


def reported(*wrong: Wrong) -> Report:
    history = [
        Attempt("request-1", UUID(int=1), "get", begun=0.0, ended=1.0, left=1.0, status=200),
        Attempt("request-2", UUID(int=1), "get", begun=5.0, ended=7.0, left=7.0, status=200),
    ]
    spans = [Span("replica frozen", 0.5, 0.8)]
    return report(history, spans, wrong, seed=1, minutes=1, users=1, notes=[])


@pytest.mark.parametrize(
    ("kind", "counts"),
    [
        ("lost", (1, 0, 0)),
        ("doubled", (0, 1, 0)),
        *(
            (kind, (0, 0, 1))
            for kind in (
                "untrue", "impossible", "undecided", "unexpected", "late", "gap", "invented",
                "out of order", "grown", "stuck", "a kind to come",
            )
        ),
    ],
)  # fmt: skip
def test_counts_every_finding_in_the_row_of_the_whole_run(
    kind: str, counts: tuple[int, int, int]
) -> None:
    """A finding without a request that proves it belongs to no fault."""
    found = reported(Wrong(kind, "without a proof"))

    whole, frozen = found.rows
    assert (whole.lost, whole.doubled, whole.untrue) == counts
    assert (frozen.lost, frozen.doubled, frozen.untrue) == (0, 0, 0)
    assert not found.is_clean


def test_the_row_of_the_whole_run_has_all_operations() -> None:
    whole, frozen = reported().rows

    assert whole == Row(whole.fault, 1, 2, 2, silence=6.0, recoveries=frozen.recoveries)
    assert frozen.operations == 1

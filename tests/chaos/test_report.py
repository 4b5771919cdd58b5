# SPDX-License-Identifier: MIT
"""The report finds by order what a look at every request finds."""

from math import inf
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.history import Attempt
from tests.chaos.nemesis import Span
from tests.chaos.report import Met, Successes

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

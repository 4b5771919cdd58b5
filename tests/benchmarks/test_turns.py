# SPDX-License-Identifier: MIT
import pytest

from benchmarks.compare import table
from benchmarks.turns import Series, order
from tests.benchmarks.builders import a_turn


def series(*successes: int, server_cpu: float = 0.5) -> Series:
    return Series([a_turn(succeeded=each, server_cpu=server_cpu) for each in successes])


def test_the_order_of_the_servers_is_reversed_after_each_round() -> None:
    assert [list(order(3, round_)) for round_ in range(3)] == [[0, 1, 2], [2, 1, 0], [0, 1, 2]]


def test_throughput_is_compared_within_each_round() -> None:
    """Halfway the machine gets four times as fast for both, which changes no ratio."""
    base, other = series(1000, 1000, 4000, 4000), series(1100, 1100, 4400, 4400)

    ratio = other.throughput_against(base)

    assert (ratio.median, ratio.lower, ratio.upper) == pytest.approx((1.1, 1.1, 1.1))


def test_a_disturbed_turn_does_not_change_the_median() -> None:
    base, other = series(1000, 1000, 1000), series(900, 10, 900)

    ratio = other.throughput_against(base)

    assert ratio.median == pytest.approx(0.9)
    assert ratio.lower < ratio.median


def test_cost_is_the_processor_time_for_a_thousand_successes() -> None:
    cheap, dear = series(1000, 1000, server_cpu=0.2), series(2000, 2000, server_cpu=0.8)

    assert (cheap.server_cost, dear.server_cost) == pytest.approx((0.2, 0.4))
    assert dear.cost_against(cheap).median == pytest.approx(2)


def test_a_server_without_successes_is_compared_as_well() -> None:
    assert series(0).throughput_against(series(0)).median == 0


def test_the_table_compares_every_server_with_the_first() -> None:
    _, first, second = table(["main", "service"], [series(1000), series(1250)])

    assert first.startswith("main ")
    assert "1.000 (1.00–1.00)" in first
    assert "1,250" in second
    assert "1.250 (1.25–1.25)" in second

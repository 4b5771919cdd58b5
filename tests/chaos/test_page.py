# SPDX-License-Identifier: MIT
"""The tables of several runs."""

import json
from dataclasses import asdict

from tests.chaos.page import BEGIN, END, PAGE, loaded, merged, section
from tests.chaos.report import Report, Row

FROZEN, KILLED = "replica frozen", "relay killed (-9)"


def a_report(*rows: Row, seed: int = 1) -> Report:
    return Report(
        seed=seed, minutes=5, users=100, operations=25_000, acknowledged=20_000, answers={},
        rows=list(rows), wrong=[], notes=[], longest_answer=4.0,
    )  # fmt: skip


def test_adds_the_counts_of_the_runs_and_takes_their_longest_times() -> None:
    first = Row(FROZEN, 2, 100, 90, 0, 0, 1, silence=1.5, recoveries=[0.1, 3.0])
    other = Row(FROZEN, 1, 50, 40, 1, 0, 0, silence=2.5, recoveries=[0.2])

    [relay, replica] = merged([a_report(first), a_report(other, Row(KILLED, times=1))])

    assert relay.fault == KILLED
    assert replica == Row(FROZEN, 3, 150, 130, 1, 0, 1, silence=2.5, recoveries=[0.1, 3.0, 0.2])


def test_a_report_is_the_same_after_it_was_kept() -> None:
    report = a_report(Row(FROZEN, recoveries=[0.5]))

    assert loaded(json.loads(json.dumps(asdict(report)))) == report


def test_a_run_is_one_line() -> None:
    assert "| 7 | 5 | 100 | 25,000 | 20,000 | 0 | 4.0 s |" in section([a_report(seed=7)], day="")


def test_the_page_has_ten_clean_runs_and_one_of_two_hours() -> None:
    runs, faults = _tables()

    clean = {seed for seed, *_, wrong, _ in runs if wrong == "0"}
    operations = [int(operations.replace(",", "")) for _, _, _, operations, *_ in runs]
    assert len(clean) >= 10
    assert "120" in {minutes for _, minutes, *_ in runs}
    assert min(operations) >= 20_000
    assert {(lost, doubled) for _, _, _, _, lost, doubled, *_ in faults} == {("0", "0")}


def _tables() -> list[list[list[str]]]:
    """The cells of each table, without its head."""
    block = PAGE.read_text().split(BEGIN)[1].split(END)[0]
    tables = [part.splitlines()[2:] for part in block.split("\n\n") if part.startswith("|")]
    return [[line.strip("| ").split(" | ") for line in table] for table in tables]

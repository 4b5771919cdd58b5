# SPDX-License-Identifier: MIT
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks.contenders.catalogue import ASYNCPG, ROOT
from benchmarks.keep import Keep
from benchmarks.measure import CannotMeasure
from benchmarks.parts import measurement_of
from benchmarks.plan import READS
from benchmarks.report import page
from benchmarks.report.targets import TARGETS
from benchmarks.results import Results
from tests.benchmarks.builders import (
    a_flooded,
    a_measurement,
    a_recovery,
    a_relayed,
    a_soak,
    results_with,
)

OF_EACH_PART = (
    a_measurement(),
    a_measurement(contender=ASYNCPG, scenario=READS),
    a_recovery(),
    a_flooded(),
    a_relayed(),
    a_relayed(with_relay=False, ages=[], behind=None),
    a_soak(),
)


def test_results_are_the_same_when_loaded_again(tmp_path: Path) -> None:
    results = results_with(*OF_EACH_PART)
    results.save(tmp_path / "results.json")
    assert Results.load(tmp_path / "results.json") == results


def test_a_result_replaces_only_an_earlier_result_of_the_same_measurement() -> None:
    results = results_with(*OF_EACH_PART)
    faster = a_measurement(requests_per_second=9000.0)
    results.add(faster)
    assert results.everything == [*OF_EACH_PART[1:], faster]


def test_a_measurement_that_has_a_result_is_repeated_only_on_request(tmp_path: Path) -> None:
    results = results_with(a_measurement(round=1))
    first, second = (
        measurement_of(each.contender, each.scenario, each.round)
        for each in (a_measurement(round=1), a_measurement(round=2))
    )
    keep = Keep(tmp_path / "results.json", add=True, again=False)
    assert not keep.lacks(results, first)
    assert keep.lacks(results, second)
    assert Keep(keep.file, add=True, again=True).lacks(results, first)


def test_adding_keeps_earlier_results(tmp_path: Path) -> None:
    keep = Keep(tmp_path / "results.json", add=True, again=False)
    earlier = results_with(a_measurement())
    earlier.save(keep.file)
    assert keep.begun(results_with()) == earlier


def test_without_adding_earlier_results_are_dropped(tmp_path: Path) -> None:
    keep = Keep(tmp_path / "results.json", add=False, again=False)
    results_with(a_measurement()).save(keep.file)
    assert keep.begun(results_with()).everything == []


@pytest.mark.parametrize(
    "other",
    [
        {"machine": {"Processor": "four cores"}},
        {"settings": {"fsync": "off"}},
        {"conditions": {"duration": 10, "warm_up": 2}},
    ],
    ids=["machine", "settings", "conditions"],
)
def test_refuses_to_add_to_results_of_other_conditions(
    tmp_path: Path, other: dict[str, Any]
) -> None:
    keep = Keep(tmp_path / "results.json", add=True, again=False)
    results_with(a_measurement(), **other).save(keep.file)
    with pytest.raises(CannotMeasure, match="cannot be added to"):
        keep.begun(results_with())


@pytest.mark.parametrize("everything", [(), OF_EACH_PART], ids=["nothing", "each part"])
def test_the_page_shows_every_kind_of_result(tmp_path: Path, everything: tuple[Any, ...]) -> None:
    page.write(results_with(*everything), tmp_path / "benchmarks.md")
    text = (tmp_path / "benchmarks.md").read_text()
    pictures = {each.name for each in (tmp_path / "benchmarks").iterdir()}
    assert {name for name in pictures if f"(benchmarks/{name})" not in text} == set()
    assert ("| round 1 | 7.0 s | 5,000/s | 0.50 s |" in text) is bool(everything)


def test_a_page_leaves_no_plot_of_an_earlier_one(tmp_path: Path) -> None:
    target = tmp_path / "benchmarks.md"
    page.write(results_with(*OF_EACH_PART), target)
    page.write(results_with(a_measurement()), target)

    text, pictures = target.read_text(), (tmp_path / "benchmarks").iterdir()
    assert {each.name for each in pictures if f"(benchmarks/{each.name})" not in text} == set()
    assert not (tmp_path / "benchmarks" / "memory.svg").exists()


def test_the_published_page_has_the_words_of_its_template() -> None:
    published = (ROOT / "docs" / "benchmarks.md").read_text()
    words = re.split(r"\$[a-z_]+", page.PAGE.template.replace("$$", "$"))
    assert re.fullmatch(".*".join(map(re.escape, words)), published, re.DOTALL)


def test_the_published_page_has_the_targets_of_the_code() -> None:
    published = (ROOT / "docs" / "benchmarks.md").read_text()
    [table] = re.findall(r"\| target \|.*?\n\n", published, re.DOTALL)
    rows = [line.split(" | ")[:2] for line in table.splitlines()[2:] if line]
    assert rows == [[f"| {each.against}", each.wanted] for each in TARGETS]

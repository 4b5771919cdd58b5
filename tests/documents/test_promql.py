# SPDX-License-Identifier: MIT
"""The queries of the pages name series and labels that are documented.

docs/metrics.md is held against what the processes export, and tests/prometheus runs the queries.
"""

import re

import pytest

from tests.documents.blocks import Block, blocks, read

ROWS = re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \|", read("docs/metrics.md"), re.MULTILINE)
LABELS = {name: set(re.findall(r"\w+", labels)) for name, _, labels in ROWS}
OF_PROMETHEUS = {"instance", "job", "le"}


@pytest.mark.parametrize("queries", blocks("promql"), ids=str)
def test_a_query_names_series_and_labels_that_are_documented(queries: Block) -> None:
    for query in queries.text.splitlines():
        names = {
            name if name in LABELS else re.sub("_(bucket|sum|count)$", "", name)
            for name in re.findall(r"\btraining_\w+", query)
        }
        groups = re.findall(r"\bby \(([^)]*)\)", query)
        labels = {label for group in groups for label in re.findall(r"\w+", group)}
        labels |= set(re.findall(r"[{,]\s*(\w+)\s*[=!]", query))

        assert names, query
        known = {label for name in names for label in LABELS[name]}
        assert labels <= known | OF_PROMETHEUS, query

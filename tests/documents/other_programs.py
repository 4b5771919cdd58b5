# SPDX-License-Identifier: MIT
"""The rules of programs of other projects that no page runs on the servers of the tests."""

import itertools
import json
from collections.abc import Callable
from typing import Any

from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType

from service.bootstrap.settings import RelaySettings
from service.relay.messages import SUBJECTS
from tests.documents.blocks import ROOT

Rule = Callable[[list[str]], None]

WORDS = {"mutmut": {"show"}, "pg_dump": {"--data-only"}, "promtool": {"test", "rules"}}
"""The words that pages use, beside names of files and of mutants."""

MADE = {
    "--subjects": SUBJECTS,
    "--storage": StorageType.FILE,
    "--discard": DiscardPolicy.NEW,
    "--retention": RetentionPolicy.LIMITS,
}
"""How `relay --ensure-stream` makes the stream."""

USED = {
    "cluster step-down": [],
    "edit": ["--allow-batch"],
    "get": ["17"],
    "purge": ["--subject", f"{SUBJECTS.removesuffix('>')}sessionId.>"],
    "rmm": ["17"],
}
"""The other verbs of `nats stream` that pages use, and what they say after its name."""


def _nats(arguments: list[str]) -> None:
    """In a sentence, the name of the stream may be … and what follows may be left out."""
    place = next(each for each, word in enumerate(arguments) if word in {_STREAM, "x"})
    noun, *verb = arguments[:place]
    rest = ["17" if each == "sequence" else each for each in arguments[place + 1 :]]
    assert noun == "stream"
    if verb == ["add"]:
        _makes_the_stream(rest)
    else:
        assert rest in ([], USED[" ".join(verb)]), arguments


def _makes_the_stream(options: list[str]) -> None:
    given = dict(itertools.pairwise(options))
    assert {each: given[each] for each in MADE} == MADE
    assert given["--dupe-window"] == f"{_default('nats_duplicate_window_seconds') // 60:.0f}m"
    assert given["--replicas"] == str(_default("nats_stream_replicas"))
    assert "--allow-batch" in options


def _default(name: str) -> Any:
    return RelaySettings.model_fields[name].default


_STREAM = _default("nats_stream")


def _npx(arguments: list[str]) -> None:
    """As `make typescript` uses it."""
    package = json.loads((ROOT / "tests/typescript/package.json").read_text())
    assert package["scripts"]["check"].startswith(" ".join(arguments))


def _of_known_words(program: str) -> Rule:
    def rule(arguments: list[str]) -> None:
        words = {each for each in arguments if not each.isupper() and "/" not in each}
        assert words <= WORDS[program], arguments
        for pattern in (each for each in arguments if "*" in each):
            assert list(ROOT.glob(pattern)), pattern

    return rule


OF_OTHER_PROJECTS: dict[str, Rule] = {
    "nats": _nats,
    "npx": _npx,
    **{program: _of_known_words(program) for program in WORDS},
}

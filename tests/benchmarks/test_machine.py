# SPDX-License-Identifier: MIT
from importlib import import_module

import pytest

from benchmarks import machine
from benchmarks.machine import how_built, is_optimised, warn_about_python


@pytest.mark.parametrize(
    ("configured", "words", "optimised"),
    [
        (
            "'--enable-optimizations' '--with-lto' '--enable-shared'",
            "built with --enable-optimizations and --with-lto",
            True,
        ),
        ("'--enable-optimizations'", "built with --enable-optimizations", True),
        ("'--with-lto'", "built with --with-lto", False),
        (
            "'--enable-shared' '--with-wheel-pkg-dir=/usr/share/python-wheels/' 'CC=gcc'",
            "Debian's build, with profile-guided and link-time optimisation",
            True,
        ),
        ("'--enable-shared'", "built without optimisations", False),
        ("", "built without optimisations", False),
    ],
)
def test_says_how_the_interpreter_was_built(
    configured: str, words: str, *, optimised: bool
) -> None:
    assert how_built(configured) == words
    assert is_optimised(configured) is optimised


FIRST_STEPS = {
    "cli": "run.preparing",
    "compare": "compare.entrants",
    "tuning": "tuning.preparing",
    "tracing": "tracing.preparing",
    "draining": "draining.cluster.running",
    "tokens": "tokens._measure",
    "lone": "lone._take_steps",
}
"""Each program, and the first step of its measurement."""


class Begun(Exception):
    pass


@pytest.mark.parametrize(("program", "first_step"), FIRST_STEPS.items(), ids=FIRST_STEPS)
@pytest.mark.parametrize(
    ("configured", "is_warned"), [("'--with-lto'", True), ("'--enable-optimizations'", False)]
)
def test_every_program_warns_of_an_unoptimised_interpreter_before_it_measures(
    program: str,
    first_step: str,
    configured: str,
    *,
    is_warned: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def begin(*_: object, **__: object) -> None:
        raise Begun

    main = import_module(f"benchmarks.{program}").main
    monkeypatch.setattr(machine, "_configured", lambda: configured)
    monkeypatch.setattr("sys.argv", [program])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    for name in ("cli", "compare", "tuning", "tracing"):
        monkeypatch.setattr(f"benchmarks.{name}.require_wrk", lambda: None)
        monkeypatch.setattr(f"benchmarks.{name}.connect_directly", lambda: None)
    monkeypatch.setattr("benchmarks.run.those_here", lambda *_: [])
    monkeypatch.setattr(f"benchmarks.{first_step}", begin)

    with pytest.raises(Begun):
        main()

    assert ("built without `--enable-optimizations`" in capsys.readouterr().out) is is_warned
    assert (warn_about_python() is not None) is is_warned

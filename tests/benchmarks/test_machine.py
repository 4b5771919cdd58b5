# SPDX-License-Identifier: MIT
import pytest

from benchmarks.machine import how_built, is_optimised


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

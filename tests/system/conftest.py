# SPDX-License-Identifier: MIT
"""A checkout for the tests of make."""

from pathlib import Path

import pytest

from tests.system.checkout import Checkout, a_checkout


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return a_checkout(tmp_path)

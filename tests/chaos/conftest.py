# SPDX-License-Identifier: MIT
import pytest

from tests.chaos.told import Told


@pytest.fixture
def told() -> Told:
    return Told()

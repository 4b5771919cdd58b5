# SPDX-License-Identifier: MIT
"""The short form of `make chaos`: a minute in which faults of all kinds happen by a fixed seed."""

import pytest

from tests.chaos.run import run
from tests.system.processes import a_public_directory

SEED = 1
USERS = 40


@pytest.mark.timeout(400)
async def test_every_answer_is_true_during_a_minute_of_faults() -> None:
    with a_public_directory(on_disk=True) as place:
        found = await run(seed=SEED, minutes=1, users=USERS, place=place)

    assert found.is_clean, found.text()
    assert found.acknowledged > USERS

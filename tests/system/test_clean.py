# SPDX-License-Identifier: MIT
"""make clean: removes what the other commands made, but nothing that is in use."""

from service.dev import homes
from tests.system.checkout import READY, Checkout


async def test_clean_removes_the_installation_and_the_data(checkout: Checkout) -> None:
    await checkout.made("try")
    (checkout.place / ".data" / "postgres").mkdir(parents=True)

    cleaned = await checkout.made("clean")

    assert (cleaned.code, cleaned.err) == (0, "")
    assert not list(checkout.place.glob(".*"))


async def test_clean_refuses_while_the_service_runs_and_removes_nothing(
    checkout: Checkout,
) -> None:
    await checkout.made("try")
    data = checkout.place / ".data"
    data.mkdir()
    with homes.locked(data):
        refused = await checkout.made("clean")
        working = await checkout.made("try", PIP_BREAKS="network")

    assert refused.code != 0
    assert f"Another process is using the data in {data}." in refused.err
    assert "Traceback" not in refused.err
    assert data.exists()
    assert working.out == READY


async def test_clean_works_without_an_installation(checkout: Checkout) -> None:
    (checkout.venv / "bin").mkdir(parents=True)
    (checkout.place / ".data").mkdir()

    cleaned = await checkout.made("clean")

    assert (cleaned.code, cleaned.err) == (0, "")
    assert not list(checkout.place.glob(".*"))

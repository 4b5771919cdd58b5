# SPDX-License-Identifier: MIT
"""The log line of refused tokens: a warning, unless such refusals are to be expected."""

import pytest
from structlog.testing import CapturingLogger

from service.http import token_refusals
from service.http.token_refusals import TokenRefusal, log_refusals

EXPECTED = {TokenRefusal.ABSENT, TokenRefusal.EXPIRED, TokenRefusal.UNKNOWN_USER}


@pytest.mark.parametrize("refusal", TokenRefusal)
def test_logs_the_reason_its_meaning_and_how_many(
    monkeypatch: pytest.MonkeyPatch, refusal: TokenRefusal
) -> None:
    logger = CapturingLogger()
    monkeypatch.setattr(token_refusals, "log", logger)

    log_refusals(refusal, 3)

    [call] = logger.calls
    assert call.method_name == ("info" if refusal in EXPECTED else "warning")
    assert call.args == ("tokens refused",)
    assert call.kwargs == {"reason": refusal.reason, "count": 3, "meaning": refusal.value}

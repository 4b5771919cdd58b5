# SPDX-License-Identifier: MIT
"""Checks that a contender without a database checks tokens, and always answers the same."""

from benchmarks.checks.client import Client
from benchmarks.checks.expectations import require, require_refusal, require_status
from benchmarks.fresh import Fresh, session_id


def check_constant_answer(client: Client, fresh: Fresh) -> None:
    """Raises DoesNotDoTheJob."""
    first, second, *_ = fresh.reserved
    client.check_authentication("POST", f"/sessions/{session_id(first)}/fail")
    expired = client.with_expired_token("POST", f"/sessions/{session_id(first)}/fail")
    require_refusal(expired, 401, "UNAUTHENTICATED")
    answers = [client.fail_number(number) for number in (first, second)]
    for answer in answers:
        require_status(answer, 200)
    require(answers[0].content == answers[1].content, "Its answer is constant")

# SPDX-License-Identifier: MIT
"""Assertions about answers of contenders."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2

from benchmarks.fresh import PLANNED


class DoesNotDoTheJob(Exception):
    pass


def require(truth: object, expectation: str, seen: object = "") -> None:
    if not truth:
        raise DoesNotDoTheJob(f"{expectation}: not so. {seen}")


def require_status(answer: httpx2.Response, status: int) -> None:
    require(
        answer.status_code == status, f"It answers {status}", f"{answer.status_code} {answer.text}"
    )


def require_refusal(answer: httpx2.Response, status: int, code: str, **details: str) -> None:
    require_status(answer, status)
    error = answer.json().get("error", {})
    require(error.get("code") == code, f"It answers {status} {code}", answer.text)
    require(error["details"].items() >= details.items(), f"The details are {details}", error)
    require("requestId" in error["details"], "The details have the request's id", error)


def require_presented(
    answer: httpx2.Response, session: UUID | str, *, version: int, status: str, **values: Any
) -> None:
    """Requires a 2xx that presents this session as the contract says, with these values."""
    content = answer.json()
    dto = content["data"]["session"]
    times = [datetime.fromisoformat(dto.pop(name)) for name in ("createdAt", "updatedAt")]
    require(datetime.fromisoformat(dto.pop("sessionDate")), "There is a date", content)
    started, ended = (dto.pop(name) for name in ("startedAt", "endedAt"))
    require((started is None) == (status == "planned"), "It says when it was started", content)
    require(
        (ended is None) == (status not in ("failed", "completed")), "It says when it ended", content
    )
    require(content["meta"] == {}, "`meta` is empty", content)
    common = {
        "id": str(session),
        "status": status,
        "sets": [12, 10, None],
        "totalReps": 22,
        "notes": PLANNED["notes"],
    }
    require(dto == common | values, "The session is presented as the contract says", dto)
    require(times == sorted(times), "It was created before it was updated", content)
    require_headers(
        answer,
        {
            "ETag": f'"{version}"',
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        },
    )
    require("X-Request-Id" in answer.headers, "The answer has a request id", answer.headers)


def require_headers(answer: httpx2.Response, expected: dict[str, str]) -> None:
    for name, value in expected.items():
        require(answer.headers.get(name) == value, f"{name} is {value}", answer.headers)


def require_written_now(answer: httpx2.Response) -> None:
    updated_at = datetime.fromisoformat(answer.json()["data"]["session"]["updatedAt"])
    age = datetime.now(UTC) - updated_at
    require(abs(age) < timedelta(minutes=1), "It was updated now", answer.text)


def require_replayed(again: httpx2.Response, answer: httpx2.Response) -> None:
    require_status(again, answer.status_code)
    require(again.json() == answer.json(), "A replay has the same body", again.text)
    require_headers(again, {"ETag": answer.headers["ETag"], "Idempotent-Replayed": "true"})

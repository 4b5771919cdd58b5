# SPDX-License-Identifier: MIT
"""Bodies of requests, for both conventional Python contenders."""

from typing import Annotated, Any, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    StrictStr,
    model_validator,
)
from pydantic.alias_generators import to_camel

from benchmarks.contenders.contract import normal_text

Repetitions = Annotated[StrictInt, Field(ge=1, le=1000)] | None
Sets = Annotated[list[Repetitions], Field(max_length=20)]
Rpe = Annotated[StrictInt, Field(ge=1, le=10)]


class CamelCase(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, from_attributes=True, extra="forbid"
    )


class PlanSession(CamelCase):
    session_date: AwareDatetime | None = None
    sets: Sets | None = None
    notes: StrictStr | None = None


class UpdateSession(CamelCase):
    """An absent field stays as it is; null clears `rpe` and `notes`."""

    session_date: AwareDatetime = None  # type: ignore[assignment]  # absent, which null is not
    sets: Sets = None  # type: ignore[assignment]  # the same
    rpe: Rpe | None = None
    notes: StrictStr | None = None

    @model_validator(mode="after")
    def _require_a_field(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("It must have at least one field.")
        return self

    def changes(self) -> dict[str, Any]:
        """The given fields."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        if "notes" in given:
            given["notes"] = normal_text(given["notes"], "NOTES")
        return given


class CompleteSession(CamelCase):
    sets: Sets | None = None
    rpe: Rpe | None = None


class FailSession(CamelCase):
    reason: StrictStr | None = None

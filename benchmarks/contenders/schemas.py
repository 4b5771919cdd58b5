# SPDX-License-Identifier: MIT
"""Bodies of requests, for both conventional Python contenders."""

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StrictInt, StrictStr
from pydantic.alias_generators import to_camel

Repetitions = Annotated[StrictInt, Field(ge=1, le=1000)] | None


class CamelCase(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, from_attributes=True, extra="forbid"
    )


class PlanSession(CamelCase):
    session_date: AwareDatetime | None = None
    sets: Annotated[list[Repetitions], Field(max_length=20)] | None = None
    notes: StrictStr | None = None


class FailSession(CamelCase):
    reason: StrictStr | None = None

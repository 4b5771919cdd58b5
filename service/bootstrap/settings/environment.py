# SPDX-License-Identifier: MIT
"""What all settings have in common: where they come from, and how one is declared."""

from typing import Annotated, Any

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "SERVICE_"

Seconds = Annotated[float, Field(gt=0, le=3600)]


class Environment(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )


def setting(default: Any, purpose: str, **constraints: Any) -> Any:
    return Field(default, description=purpose, **constraints)

# SPDX-License-Identifier: MIT
"""The claims of an access token (RFC 7519, section 4): one line for each rule."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import ErrorDetails

from service.http.errors import Unauthenticated
from service.http.fields import is_canonical_uuid
from service.http.token_refusals import TokenRefusal

LEEWAY_SECONDS = 30
"""How far the clocks of the issuer and of this machine may differ."""

_API_ROLES = {"anon", "service_role"}
"""Roles of the legacy API keys of Supabase, which are tokens of the same secret."""


@dataclass(frozen=True, slots=True)
class Expected:
    """`issuer` None accepts any issuer. `now` in seconds since 1970."""

    audience: str
    issuer: str | None
    now: float


class _Refused(ValueError):
    """Pydantic reports a ValueError of a validator together with the other broken rules."""

    def __init__(self, refusal: TokenRefusal) -> None:
        super().__init__()
        self.refusal = refusal


def is_expired(exp: float, now: float) -> bool:
    return int(exp) + LEEWAY_SECONDS <= now


def _require_unexpired(exp: float, info: ValidationInfo[Expected]) -> float:
    if is_expired(exp, info.context.now):
        raise _Refused(TokenRefusal.EXPIRED)
    return exp


def _require_begun(date: float, info: ValidationInfo[Expected]) -> float:
    if int(date) > info.context.now + LEEWAY_SECONDS:
        raise _Refused(TokenRefusal.NOT_YET_VALID)
    return date


def _require_issuer(iss: object, info: ValidationInfo[Expected]) -> object:
    issuer = info.context.issuer
    if issuer is None or iss == issuer:
        return iss
    if iss is None:
        raise _Refused(TokenRefusal.MISSING_ISS)
    differ_by_a_slash = isinstance(iss, str) and iss.rstrip("/") == issuer.rstrip("/")
    raise _Refused(TokenRefusal.ISSUER_SLASH if differ_by_a_slash else TokenRefusal.WRONG_ISSUER)


def _require_audience(aud: str | list[str], info: ValidationInfo[Expected]) -> str | list[str]:
    if not aud:
        raise _Refused(TokenRefusal.MISSING_AUD)
    if info.context.audience not in ([aud] if isinstance(aud, str) else aud):
        raise _Refused(TokenRefusal.WRONG_AUDIENCE)
    return aud


def _require_canonical_uuid(sub: object) -> object:
    """Pydantic alone also accepts other forms."""
    if isinstance(sub, str) and not is_canonical_uuid(sub):
        raise _Refused(TokenRefusal.WRONG_SUBJECT)
    return sub


NumericDate = Annotated[float, Field(allow_inf_nan=False)]
"""Seconds since 1970. A whole number or a fraction; no boolean, and no digits in a string."""


class Claims(BaseModel):
    """What a token must claim. Other claims are ignored.

    Of several broken rules, the first one here is reported: an API key breaks most of them.
    """

    model_config = ConfigDict(strict=True, validate_default=True, hide_input_in_errors=True)

    role: Literal["authenticated"]
    iat: Annotated[NumericDate, AfterValidator(_require_begun)] = 0
    nbf: Annotated[NumericDate, AfterValidator(_require_begun)] = 0
    exp: Annotated[NumericDate, AfterValidator(_require_unexpired)]
    iss: Annotated[Any, AfterValidator(_require_issuer)] = None
    aud: Annotated[str | list[str], AfterValidator(_require_audience)]
    sub: Annotated[UUID, BeforeValidator(_require_canonical_uuid)]
    jti: str = ""


_REFUSALS = {
    "role": TokenRefusal.WRONG_ROLE,
    "iat": TokenRefusal.WRONG_DATE,
    "nbf": TokenRefusal.WRONG_DATE,
    "exp": TokenRefusal.WRONG_DATE,
    "aud": TokenRefusal.WRONG_AUDIENCE,
    "sub": TokenRefusal.WRONG_SUBJECT,
}
"""Of a claim with a value of another type."""

_REQUIRED = {name for name, field in Claims.model_fields.items() if field.is_required()}


def read_claims(payload: bytes, expected: Expected) -> Claims:
    """Raises Unauthenticated."""
    try:
        return Claims.model_validate_json(payload, context=expected)
    except ValidationError as exc:
        raise Unauthenticated(_refusal_of(exc.errors(include_url=False)[0])) from None


def _refusal_of(error: ErrorDetails) -> TokenRefusal:
    reason = error.get("ctx", {}).get("error")
    if isinstance(reason, _Refused):
        return reason.refusal
    claim = error["loc"][0] if error["loc"] else None  # None: it is no JSON, or no object
    if claim in _REQUIRED and (error["type"] == "missing" or error["input"] is None):
        return TokenRefusal[f"MISSING_{str(claim).upper()}"]
    if claim == "role" and isinstance(error["input"], str) and error["input"] in _API_ROLES:
        return TokenRefusal.API_KEY
    return _REFUSALS.get(str(claim), TokenRefusal.MALFORMED)

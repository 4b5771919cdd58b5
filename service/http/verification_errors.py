# SPDX-License-Identifier: MIT
"""Which check of PyJWT refused a token."""

from collections.abc import Mapping
from typing import Any

import jwt

from service.http.token_refusals import TokenRefusal

_REFUSALS: dict[type[jwt.PyJWTError], TokenRefusal] = {
    jwt.ExpiredSignatureError: TokenRefusal.EXPIRED,
    jwt.ImmatureSignatureError: TokenRefusal.NOT_YET_VALID,
    jwt.InvalidAlgorithmError: TokenRefusal.ALGORITHM_OF_KEY,
    jwt.InvalidAudienceError: TokenRefusal.WRONG_AUDIENCE,
    jwt.InvalidIssuedAtError: TokenRefusal.WRONG_DATE,
    jwt.exceptions.InvalidSubjectError: TokenRefusal.WRONG_SUBJECT,
}
_API_ROLES = {"anon", "service_role"}
"""Roles of the legacy API keys of Supabase, which are tokens of the same secret."""


def refusal_of(error: Exception, token: str, *, algorithm: str, issuer: str | None) -> TokenRefusal:
    """PyJWT checks the signature before the claims."""
    if isinstance(error, jwt.InvalidSignatureError):
        is_secret = algorithm == "HS256"
        return TokenRefusal.BAD_HS256_SIGNATURE if is_secret else TokenRefusal.BAD_SIGNATURE
    claims = _claims(token)
    if isinstance(error, jwt.MissingRequiredClaimError):
        return _missing(error.claim, claims)
    if isinstance(error, jwt.InvalidIssuerError):
        return _wrong_issuer(claims.get("iss"), issuer)
    if isinstance(error, jwt.DecodeError) and claims:  # it could be read, but for its dates
        return TokenRefusal.WRONG_DATE
    return _REFUSALS.get(type(error), TokenRefusal.MALFORMED)  # type: ignore[arg-type]  # or none


def refusal_of_role(role: object) -> TokenRefusal:
    is_api_key = isinstance(role, str) and role in _API_ROLES
    return TokenRefusal.API_KEY if is_api_key else TokenRefusal.WRONG_ROLE


def has_numeric_dates(claims: Mapping[str, Any]) -> bool:
    """RFC 7519, section 2. PyJWT also accepts strings of digits and booleans."""
    dates = [claims[name] for name in ("exp", "iat", "nbf") if name in claims]
    return all(isinstance(each, int | float) and not isinstance(each, bool) for each in dates)


def _claims(token: str) -> Mapping[str, Any]:
    """The claims of a token that was refused, to say why; they prove nothing."""
    try:
        claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        return {}
    return claims


def _missing(claim: str, claims: Mapping[str, Any]) -> TokenRefusal:
    if refusal_of_role(claims.get("role")) is TokenRefusal.API_KEY:
        return TokenRefusal.API_KEY
    return TokenRefusal[f"MISSING_{claim.upper()}"]


def _wrong_issuer(iss: object, issuer: str | None) -> TokenRefusal:
    differ_by_a_slash = isinstance(iss, str) and issuer and iss.rstrip("/") == issuer.rstrip("/")
    return TokenRefusal.ISSUER_SLASH if differ_by_a_slash else TokenRefusal.WRONG_ISSUER

# SPDX-License-Identifier: MIT
"""Access tokens for development, with the claims of a Supabase token."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import jwt

from service.bootstrap.settings import TokenSettings, WrongSettings


def mint(settings: TokenSettings, user_id: UUID, *, lifetime: timedelta) -> str:
    """A token for this user, signed with the configured secret. Raises WrongSettings."""
    if settings.jwt_secret is None:
        raise WrongSettings("SERVICE_JWT_SECRET is not set; it is the key that signs tokens.")
    issued = datetime.now(UTC)
    claims = {
        "sub": str(user_id),
        "aud": settings.jwt_audience,
        "role": "authenticated",
        "iat": issued,
        "exp": issued + lifetime,
    }
    if settings.jwt_issuer:
        claims["iss"] = settings.jwt_issuer
    return jwt.encode(claims, settings.jwt_secret.get_secret_value(), "HS256")

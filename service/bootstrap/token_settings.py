# SPDX-License-Identifier: MIT
"""Settings of tokens: what is refused at the start, and what only looks wrong."""

import re

from pydantic import SecretStr

SECRET_MIN_BYTES = 32
"""An HS256 key needs at least as many bits as the hash (RFC 7518, section 3.2)."""

KEY_SET_PATH = "/.well-known/jwks.json"
_SUPABASE = re.compile(r"https?://[^/]*\.supabase\.(co|in)(/|$)|https?://[^/]+/auth/v1(/|$)")
_TOKEN = re.compile(r"eyJ[\w-]*\.[\w-]+\.[\w-]*")
_LOGIN = re.compile("(?<=://)[^/]*@")


def check_ends(value: str) -> str:
    """Refuses what a file, a shell or a copy has added; returns the value. Raises ValueError."""
    ends = value[:1] + value[-1:]
    if value != value.strip() or not ends.isprintable():
        raise ValueError("it begins or ends with white space or an invisible character")
    if ends in {'""', "''"}:
        raise ValueError("it stands in quotes, which belong to the value here: remove them")
    return value


def check_secret(value: SecretStr) -> SecretStr:
    """Returns the secret. Raises ValueError, whose text quotes nothing of it."""
    secret = value.get_secret_value()
    try:
        size = len(secret.encode())
    except UnicodeEncodeError:
        raise ValueError("it is not text in UTF-8") from None
    if _TOKEN.fullmatch(secret.strip()) or secret.startswith(("sb_secret_", "sb_publishable_")):
        raise ValueError("it is a token or an API key, and not the JWT secret of the project")
    if _is_another_kind_of_key(secret):
        raise ValueError(
            "it is a public or private key, a certificate or a JWK, and not a secret for HS256;"
            " keys for ES256 and RS256 come from SERVICE_JWKS_URL"
        )
    check_ends(secret)
    if size < SECRET_MIN_BYTES:
        raise ValueError(f"it must have at least {SECRET_MIN_BYTES} bytes")
    return value


def _is_another_kind_of_key(secret: str) -> bool:
    # Imported here, because the relay reads its settings without tokens.
    from jwt.algorithms import HMACAlgorithm  # noqa: PLC0415  the relay checks no tokens
    from jwt.exceptions import InvalidKeyError  # noqa: PLC0415  the same

    try:
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)
    except InvalidKeyError:
        return True
    return False


def find_doubts(*, issuer: str | None, audience: str, jwks_url: str | None) -> dict[str, str]:
    """A sentence for each setting that is allowed, but with which all tokens may be refused."""
    doubts: dict[str, str] = {}
    if issuer and issuer.endswith("/"):
        doubts["SERVICE_JWT_ISSUER"] = (
            "It ends with a slash. It must equal the iss of the tokens to the character, and that"
            " of Supabase has no slash at its end."
        )
    if issuer and _SUPABASE.match(issuer) and audience != "authenticated":
        doubts["SERVICE_JWT_AUDIENCE"] = "The aud of Supabase's tokens is authenticated."
    if jwks_url and (doubt := _doubt_key_set(_LOGIN.sub("", jwks_url), issuer)):
        doubts["SERVICE_JWKS_URL"] = doubt
    return doubts


def _doubt_key_set(url: str, issuer: str | None) -> str | None:
    if _SUPABASE.match(url) and not url.endswith(f"/auth/v1{KEY_SET_PATH}"):
        return f"The key set of a Supabase project has the path /auth/v1{KEY_SET_PATH}."
    base = (issuer or "").rstrip("/")
    is_usual = url.endswith(KEY_SET_PATH)
    if issuer and not (url == base + KEY_SET_PATH if is_usual else url.startswith(f"{base}/")):
        return "It is not below SERVICE_JWT_ISSUER. Are both of the same project?"
    return None

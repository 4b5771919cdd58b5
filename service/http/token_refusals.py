# SPDX-License-Identifier: MIT
"""Why tokens are refused: counted by reason, and logged at most once a minute for each.

Neither a token nor the content of a claim is logged.
"""

import time
from collections import Counter
from collections.abc import Callable
from enum import Enum

import structlog

LOG_INTERVAL_SECONDS = 60

log = structlog.get_logger("service.tokens")


class TokenRefusal(Enum):
    """The check that refused a token; the value says what to look at."""

    ABSENT = "There is no `Authorization: Bearer`. Does a proxy remove it?"
    MALFORMED = "It is not one JSON Web Token."
    API_KEY = "It is an API key (anon, service_role, sb_...), not the access token of a user."
    UNSUPPORTED_HEADER = "Its header has crit, b64, jwk, jku, x5c or x5u."
    UNSUPPORTED_ALGORITHM = "Its alg is none of HS256, ES256 and RS256."
    HS256_NOT_CONFIGURED = "It is signed with HS256, and SERVICE_JWT_SECRET is not set."
    KEY_SET_NOT_CONFIGURED = "It is signed with ES256 or RS256, and SERVICE_JWKS_URL is not set."
    KEY_ID_ABSENT = "It is signed with ES256 or RS256, and its header has no kid."
    UNKNOWN_KEY_ID = "SERVICE_JWKS_URL has no usable key with its kid. Is it of the same project?"
    ALGORITHM_OF_KEY = "Its alg is not that of the key with its kid."
    BAD_HS256_SIGNATURE = "SERVICE_JWT_SECRET did not sign it. Is that of the same project?"
    BAD_SIGNATURE = "The key with its kid did not sign it."
    EXPIRED = "Its exp is past. If it was new, look at the clock of this machine."
    NOT_YET_VALID = "Its iat or nbf is in the future. Look at the clock of this machine."
    WRONG_DATE = "Its exp, iat or nbf is not a number."
    MISSING_EXP = "It has no exp."
    MISSING_SUB = "It has no sub."
    MISSING_AUD = "It has no aud."
    MISSING_ROLE = "It has no role."
    MISSING_ISS = "It has no iss, and SERVICE_JWT_ISSUER is set."
    ISSUER_SLASH = "Its iss and SERVICE_JWT_ISSUER differ by a slash at the end alone."
    WRONG_ISSUER = "Its iss is not SERVICE_JWT_ISSUER. Is that of the same project?"
    WRONG_AUDIENCE = "Its aud is not SERVICE_JWT_AUDIENCE, nor a list with it."
    WRONG_ROLE = "Its role is not authenticated."
    WRONG_SUBJECT = "Its sub is not a UUID. Users of third-party auth cannot be served."
    UNKNOWN_USER = "Its user is not in the database: deleted, or of another project."

    @property
    def reason(self) -> str:
        return self.name.lower()


_EXPECTED = {TokenRefusal.ABSENT, TokenRefusal.EXPIRED, TokenRefusal.UNKNOWN_USER}
"""Refusals that also happen while everything is in order."""

Report = Callable[[TokenRefusal, int], None]


def log_refusals(refusal: TokenRefusal, count: int) -> None:
    write = log.info if refusal in _EXPECTED else log.warning
    write("tokens refused", reason=refusal.reason, count=count, meaning=refusal.value)


class RefusedTokens:
    """Reports the first refusal for a reason at once, and later ones together."""

    def __init__(
        self, report: Report = log_refusals, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._report = report
        self._clock = clock
        self._unreported: Counter[TokenRefusal] = Counter()
        self._reported_at: dict[TokenRefusal, float] = {}

    def count(self, refusal: TokenRefusal) -> None:
        self._unreported[refusal] += 1
        now = self._clock()
        reported_at = self._reported_at.get(refusal)
        if reported_at is None or now - reported_at >= LOG_INTERVAL_SECONDS:
            self._reported_at[refusal] = now
            self._report(refusal, self._unreported.pop(refusal))

    def close(self) -> None:
        """Reports what was counted since; no timer does, so that none is left at shutdown."""
        for refusal, count in self._unreported.items():
            self._report(refusal, count)
        self._unreported.clear()

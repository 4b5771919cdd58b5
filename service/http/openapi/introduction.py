# SPDX-License-Identifier: MIT
"""The words at the beginning of the description."""

from service.http.auth import TOKEN_MAX_LENGTH

TITLE = "Training sessions"
SUMMARY = "Moves training sessions through their life, correctly under any race."

DESCRIPTION = """\
JSON over HTTP. A session is `planned`, then `in_progress`, then `completed` or `failed`; the last
two are final. A user has at most one session in progress, and sees only the own sessions.

- **Answers**: `{"data": …, "meta": …}`. Ignore fields that you do not know: later versions may add
  some.
- **Refusals**: `{"error": {"code", "message", "details"}}`. Switch on `code`; messages may change.
  `details.requestId` is always there. An unknown path is 404 `NOT_FOUND`, a method that a path
  does not have is 405 `METHOD_NOT_ALLOWED` with `Allow`, in the same format.
- **Requests**: unknown fields and parameters are refused, so that a typo never loses a value. Null
  means absent.
- **Times** are of RFC 3339 with a zone; answers are in UTC.
- **Retries**: send a command with an `Idempotency-Key`, and the same again if the answer is lost.
  503 and 429 say with `Retry-After` when to try again.
- **Lost updates**: `If-Match` lets a command pass only at the version that you have seen.
- **HEAD** is answered wherever GET is.
"""

TAGS = [
    {"name": "Sessions", "description": "The caller's training sessions."},
    {"name": "Service", "description": "Health and description; no token is needed."},
]

SECURITY_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "A Supabase access token, or a JWT with the same claims: `sub` (a UUID), `exp`,"
    " `aud` and `role` = `authenticated`. Signed with HS256, ES256 or RS256; at most"
    f" {TOKEN_MAX_LENGTH} characters.",
}

# SPDX-License-Identifier: MIT
"""Names for users in the log: the same user has the same name, and only the key leads back.

An id alone would be no secret: the consumers of the events know it, and a hash without a key could
be made by everybody who does.
"""

import hmac
from uuid import UUID

from pydantic import SecretStr

from service.bootstrap.token_settings import check_ends

LENGTH = 16
"""Hexadecimal digits; two of ten million users share a name with a probability of 1 in 370,000."""

KEY_MIN_BYTES = 32


class Pseudonyms:
    """HMAC-SHA-256 of the id as it is written, with hyphens and in lower case."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()

    def __call__(self, user_id: UUID) -> str:
        return hmac.digest(self._key, str(user_id).encode(), "sha256").hex()[:LENGTH]


def check_pseudonym_key(value: SecretStr) -> SecretStr:
    """Returns the key. Raises ValueError, whose text quotes nothing of it."""
    key = check_ends(value.get_secret_value())
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise ValueError("it is not text in UTF-8") from None
    if size < KEY_MIN_BYTES:
        raise ValueError(f"it must have at least {KEY_MIN_BYTES} bytes")
    return value

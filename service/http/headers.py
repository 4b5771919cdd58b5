# SPDX-License-Identifier: MIT
"""Parsers of request headers. Pure.

Entity tags: RFC 9110, section 8.8.3. Preconditions: sections 13.1.1 and 13.1.2.
traceparent: W3C Trace Context, section 3.2, version 00.
Idempotency-Key: draft-ietf-httpapi-idempotency-key-header, a string of RFC 8941, or bare.
"""

import re
from collections.abc import Sequence

from service.domain.errors import PreconditionFailed
from service.http.errors import ValidationFailed

_ENTITY_TAG = re.compile(r'(?:^|,)[ \t]*(W/)?("[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?=,|$)')
_VERSION = re.compile(r'"([1-9][0-9]{0,9})"')
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_QUOTED = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')

IDEMPOTENCY_KEY_PATTERN = (
    rf'^(?!""$)(?:{_KEY.pattern}|"(?:[\x21\x23-\x5b\x5d-\x7e]|\\["\\]){{1,255}}")$'
)
"""What `parse_idempotency_key` accepts, as a pattern of JSON Schema."""


def parse_if_match(if_match: Sequence[str]) -> frozenset[int] | None:
    """The versions that `If-Match` names; None if it is absent or `*`.

    Weak tags never match (strong comparison), nor do tags that this service does not issue.
    """
    if not if_match:
        return None
    if "*" in (value.strip() for value in if_match):
        return None
    strong = [tag for weak, tag in _entity_tags(if_match) if not weak]
    matches = [_VERSION.fullmatch(tag) for tag in strong]
    return frozenset(int(match[1]) for match in matches if match)


def explain_mismatch(error: PreconditionFailed, if_match: Sequence[str]) -> PreconditionFailed:
    """The error with what is wrong with the tags themselves, if anything is."""
    if any(weak for weak, _ in _entity_tags(if_match)):
        return error.because("weak_tag", "If-Match has a weak tag (W/), which never matches.")
    if not parse_if_match(if_match):
        explanation = "If-Match has no tag of this service: a version in double quotes."
        return error.because("unknown_tag", explanation)
    return error


def matches_etag(if_none_match: Sequence[str], etag: str) -> bool:
    """True if `If-None-Match` names this tag (weak comparison) or is `*`."""
    if ",".join(if_none_match).strip() == "*":
        return True
    return etag in (tag for _, tag in _entity_tags(if_none_match))


def _entity_tags(values: Sequence[str]) -> list[tuple[str, str]]:
    """`W/` or nothing, and the tag with its quotes, of each tag in these headers."""
    return _ENTITY_TAG.findall(",".join(values))


def parse_idempotency_key(values: Sequence[str]) -> str | None:
    """Raises ValidationFailed."""
    if not values:
        return None
    key = values[0].strip(" \t")
    if quoted := _QUOTED.fullmatch(key):
        key = re.sub(r"\\(.)", r"\1", quoted[1])
    if len(values) > 1 or not _KEY.fullmatch(key):
        message = "It must be one header of 1 to 255 visible ASCII characters."
        raise ValidationFailed.at(["Idempotency-Key"], "invalid_header", message)
    return key


def parse_traceparent(values: Sequence[str]) -> str | None:
    """An invalid value is ignored, as the specification demands."""
    value = values[0].strip(" \t") if len(values) == 1 else ""
    return value if _TRACEPARENT.fullmatch(value) else None

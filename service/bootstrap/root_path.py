# SPDX-License-Identifier: MIT
"""The path below which a proxy publishes the API, such as /v1."""

import re
from urllib.parse import unquote

_PATH = re.compile(r"(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+)+")
"""One or more segments of RFC 3986, section 3.3, none of them empty."""

_SEGMENT = re.compile(r"(?!\.\.?$)[^/\\{}\x00-\x1f\x7f]+")
"""A decoded segment: neither `.` nor `..`; braces would be parameters of a route."""


def check_root_path(path: str) -> str:
    """Returns the path. Raises ValueError."""
    if not _PATH.fullmatch(path):
        raise ValueError(
            "it must be a path such as /v1, percent-encoded, with a slash before each of its parts"
            " and none at the end"
        )
    try:
        segments = [unquote(segment, errors="strict") for segment in path[1:].split("/")]
    except UnicodeDecodeError:
        raise ValueError("its percent-encoding is not that of text in UTF-8") from None
    if not all(map(_SEGMENT.fullmatch, segments)):
        raise ValueError(
            "a part of it must not be . or .., nor encode a slash, a brace or a control character"
        )
    return path

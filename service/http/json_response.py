# SPDX-License-Identifier: MIT
"""An answer in JSON, whose headers are all given at once."""

from collections.abc import Mapping
from types import MappingProxyType

from starlette.responses import Response

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class JsonResponse(Response):
    """`body` is JSON already. Values of headers are ASCII.

    Starlette's own constructor looks for a length and a type among the headers, and each header
    that is added later is compared with all others: 13 us for four headers, here 6.
    """

    def __init__(
        self, body: bytes, status: int = 200, headers: Mapping[str, str] = NO_HEADERS
    ) -> None:
        self.status_code = status
        self.background = None
        self.body = body
        self.raw_headers = [
            (b"content-length", b"%d" % len(body)),
            (b"content-type", b"application/json"),
            *((name.lower().encode(), value.encode()) for name, value in headers.items()),
        ]

# SPDX-License-Identifier: MIT
"""The origins whose pages may call the API, such as https://app.example.com."""

import re

ANY_ORIGIN = "*"

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?")
"""As a browser sends it: in lower case, a name in its ASCII form, and no path. Apps made of web
pages have schemes of their own, such as capacitor://localhost."""

_FAULTS = {
    "": "is empty",
    r"\*": "is *, which stands alone",
    r"(?!.+://).*": "does not begin with a scheme such as https://",
    r".*/": "ends with a slash",
    r".+://.*[/?#].*": "has a path",
    r".*\*.*": "has a wildcard, and each origin must be written out",
    r".*[A-Z].*": "is not in lower case",
    r"http://.*:80|https://.*:443": "names the default port, which browsers leave out",
}
"""What is wrong with an origin that matches. Browsers would never send it, so it has no effect."""


def parse_origins(listed: str) -> tuple[str, ...]:
    """Raises ValueError."""
    origins = tuple(origin.strip() for origin in listed.split(","))
    if origins == (ANY_ORIGIN,):
        return origins
    for number, origin in enumerate(origins, start=1):
        if fault := _fault(origin):
            raise ValueError(
                "it must be * or origins such as https://app.example.com, separated by commas,"
                f" but number {number} {fault}"
            )
    return origins


def check_origins(listed: str) -> str:
    """Returns the list. Raises ValueError."""
    parse_origins(listed)
    return listed


def _fault(origin: str) -> str | None:
    for pattern, fault in _FAULTS.items():
        if re.fullmatch(pattern, origin):
            return fault
    return None if _ORIGIN.fullmatch(origin) else "is not a scheme, a host and at most a port"

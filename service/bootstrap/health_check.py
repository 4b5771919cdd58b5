# SPDX-License-Identifier: MIT
"""python -m service.bootstrap.health_check: exit code 0 if /livez of this machine's API answers.

With the argument `relay`: if /readyz of this machine's relay says that it is ready.

For containers. It takes the address from the settings of `serve` or `relay`, and imports little,
because it runs every few seconds. It asks directly, whatever proxy the environment names.
"""

import os
import sys
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException

from service.bootstrap.listening import ALL_ADDRESSES

TIMEOUT_SECONDS = 4.0
LOOPBACK = dict.fromkeys(("0.0.0.0", ALL_ADDRESSES), "127.0.0.1")  # noqa: S104  not to listen
"""Both take IPv4, and a container often has no IPv6 address for itself."""


def address() -> tuple[str, int]:
    """Where `serve` can be reached on this machine; an empty variable counts as not set."""
    return _host("SERVICE_HOST"), int(os.environ.get("SERVICE_PORT") or 8000)


def relay_address() -> tuple[str, int]:
    """Where the probes of `relay` can be reached; port 0, which is never open, if it has none."""
    return _host("SERVICE_METRICS_HOST"), int(os.environ.get("SERVICE_METRICS_PORT") or 0)


def main(arguments: list[str]) -> int:
    (host, port), path = (
        (relay_address(), "/readyz") if arguments == ["relay"] else (address(), "/livez")
    )
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}{path}"
    connection = HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read().decode()
    except (OSError, HTTPException) as exc:
        print(f"{url} does not answer: {exc!r}")
        return 1
    print(f"{url} answers {answer.status} {text}".rstrip())
    return int(answer.status != HTTPStatus.OK)


def _host(name: str) -> str:
    host = os.environ.get(name) or "127.0.0.1"
    return LOOPBACK.get(host, host)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

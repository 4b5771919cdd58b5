"""python -m service.bootstrap.health_check: exit code 0 if /livez of this machine's API answers.

For the image's HEALTHCHECK. It takes the address from the settings of `serve`, and imports little,
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
    host = os.environ.get("SERVICE_HOST") or "127.0.0.1"
    return LOOPBACK.get(host, host), int(os.environ.get("SERVICE_PORT") or 8000)


def main() -> int:
    host, port = address()
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}/livez"
    connection = HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/livez")
        status = connection.getresponse().status
    except (OSError, HTTPException) as exc:
        print(f"{url} does not answer: {exc!r}")
        return 1
    print(f"{url} answers {status}")
    return int(status != HTTPStatus.OK)


if __name__ == "__main__":
    sys.exit(main())

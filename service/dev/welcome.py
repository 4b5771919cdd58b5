# SPDX-License-Identifier: MIT
"""What the demo prints when it has started."""

import os
import shlex
import sys
from contextlib import suppress
from pathlib import Path
from urllib.request import getproxies
from uuid import UUID

HOST = "127.0.0.1"
DEFAULT_PORT = 8000
METRICS_PORT = 9464
DEFAULT_HOME = Path(".data")
CHECKOUT = Path(__file__).resolve().parents[2]

_WELCOME = """
  Training sessions is listening. A session is in progress: open the page, and click Execute.

    {url}/docs

  Or fail it in another terminal:

{curl}

  The answer is 200, and after that 409. To see a whole life of sessions:

    {tour}

  Metrics {metrics}
  Data    {data}
  Stop    Ctrl-C
"""

_CURL = """\
    curl -i{options} -X POST {url}/sessions/{session_id}/fail \\
      -H 'Authorization: Bearer {token}' \\
      -H 'Content-Type: application/json' \\
      -d '{{"reason": "shoulder pain"}}'"""


def render_welcome(
    port: int, session_id: UUID, token: str, *, home: Path, data: Path, metrics: str
) -> str:
    url = f"http://{HOST}:{port}"
    return _WELCOME.format(
        url=url,
        curl=_CURL.format(options=_curl_options(), url=url, session_id=session_id, token=token),
        tour=_tour(port, home),
        data=_shown(data),
        metrics=metrics,
    )


def _curl_options() -> str:
    """Tells curl to connect directly: it would ask a proxy even for this machine."""
    return f" --noproxy {HOST}" if getproxies().keys() & {"http", "all"} else ""


def _tour(port: int, home: Path) -> str:
    """The shortest command that starts the tour."""
    is_installed = Path.cwd() != CHECKOUT
    if home == DEFAULT_HOME and not is_installed:
        return "make try" if port == DEFAULT_PORT else f"PORT={port} make try"
    if is_installed and "UV" in os.environ and _is_checkout(Path.cwd()):
        options = [] if port == DEFAULT_PORT else ["--port", str(port)]
        options += [] if home == DEFAULT_HOME else ["--data", str(home)]
        return shlex.join(["uvx", "--from", ".", "training-sessions", "try", *options])
    options = ["--port", str(port), "--data", str(home)]
    return shlex.join([_shown(Path(sys.executable)), "-m", "service", "try", *options])


def _is_checkout(place: Path) -> bool:
    with suppress(OSError):
        return 'name = "training-sessions"' in (place / "pyproject.toml").read_text()
    return False


def _shown(path: Path) -> str:
    """Relative to the current directory, if it is in there."""
    with suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)

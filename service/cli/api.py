# SPDX-License-Identifier: MIT
"""Commands of the API: `serve`, `openapi`."""

import argparse
import json

from service.bootstrap.settings import PathSettings, Settings, load
from service.cli.arguments import Commands


def add_to(commands: Commands) -> None:
    serve = commands.add_parser(
        "serve",
        help="serve the API",
        description="Serves the API with SERVICE_WORKERS processes on SERVICE_HOST and"
        " SERVICE_PORT. Needs SERVICE_DATABASE_URL, and SERVICE_JWT_SECRET or SERVICE_JWKS_URL."
        " Never migrates. SIGTERM starts a graceful shutdown, which takes at most"
        " SERVICE_SHUTDOWN_TIMEOUT_SECONDS after SERVICE_SHUTDOWN_NOTICE_SECONDS.",
    )
    serve.set_defaults(run=_serve)

    openapi = commands.add_parser(
        "openapi",
        help="print the description of the API",
        description="Prints the description of the API, OpenAPI 3.1, as GET /openapi.json answers."
        " SERVICE_ROOT_PATH is the path of its server.",
    )
    openapi.set_defaults(run=_openapi)


def _serve(_options: argparse.Namespace) -> int:
    settings = load(Settings)

    from service.bootstrap.server import serve  # noqa: PLC0415  the relay needs no web framework

    serve(settings)
    return 0


def _openapi(_options: argparse.Namespace) -> int:
    settings = load(PathSettings)

    from service.http.openapi.document import describe  # noqa: PLC0415  the relay needs no web framework
    from service.http.operations.table import OPERATIONS  # noqa: PLC0415  the same

    print(json.dumps(describe(OPERATIONS, settings.root_path or ""), indent=2, ensure_ascii=False))
    return 0

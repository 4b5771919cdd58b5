# SPDX-License-Identifier: MIT
"""Commands of developers: `demo`, `try`, `consume`, `token`."""

import argparse
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

from service.bootstrap.settings import TokenSettings, load
from service.cli.arguments import Commands, port, server_url


def add_to(commands: Commands) -> None:
    demo = commands.add_parser(
        "demo",
        help="run everything on this machine, PostgreSQL included",
        description="Starts a PostgreSQL server, migrates it, starts a session, serves, and prints"
        " the call that fails that session. Ctrl-C stops everything and keeps the data.",
    )
    demo.add_argument("--port", type=port, default=8000, help="port on 127.0.0.1 (%(default)s)")
    demo.add_argument(
        "--data", type=Path, default=Path(".data"), help="directory for the data (%(default)s)"
    )
    demo.set_defaults(run=_demo)

    tour = commands.add_parser(
        "try",
        help="play the life of several sessions, and print requests and answers",
        description="Plans, starts, completes and fails sessions of a new user."
        " Signs the token with SERVICE_JWT_SECRET, or else with the secret of the demo.",
    )
    place = tour.add_mutually_exclusive_group()
    place.add_argument("--url", type=server_url, help="URL of the service")
    place.add_argument(
        "--port",
        type=port,
        default=8000,
        help="port of the demo on 127.0.0.1 (%(default)s)",
    )
    tour.add_argument(
        "--data", type=Path, default=Path(".data"), help="data of the demo (%(default)s)"
    )
    tour.set_defaults(run=_try)

    consumer = commands.add_parser(
        "consume",
        help="print the events of the demo as a consumer gets them",
        description="Starts a nats-server, the relay and the example of a consumer beside a running"
        " demo. Ctrl-C stops all three and keeps their data.",
    )
    consumer.add_argument(
        "--data", type=Path, default=Path(".data"), help="data of the demo (%(default)s)"
    )
    consumer.set_defaults(run=_consume)

    token = commands.add_parser(
        "token",
        help="print an access token for development",
        description="Prints an access token signed with SERVICE_JWT_SECRET, with the claims of a"
        " Supabase token.",
    )
    token.add_argument("--user", type=UUID, default=uuid4(), help="user of the token (a new one)")
    token.add_argument(
        "--expires-in", metavar="SECONDS", type=int, default=3600, help="lifetime (%(default)s)"
    )
    token.set_defaults(run=_token)


def _demo(options: argparse.Namespace) -> int:
    from service.dev import extra  # noqa: PLC0415  its PostgreSQL is not installed in production

    extra.add_if_missing()
    from service.dev import demo  # noqa: PLC0415  it is slow to import

    return demo.run(options.data, options.port)


def _try(options: argparse.Namespace) -> int:
    from service.dev import tour  # noqa: PLC0415  it looks for the demo's secret

    url = options.url or f"http://127.0.0.1:{options.port}"
    return tour.run(url, options.data)


def _consume(options: argparse.Namespace) -> int:
    from service.dev import consume  # noqa: PLC0415  its servers are not installed in production

    return consume.run(options.data)


def _token(options: argparse.Namespace) -> int:
    from service.dev.tokens import mint  # noqa: PLC0415  production mints no tokens

    lifetime = timedelta(seconds=options.expires_in)
    print(mint(load(TokenSettings), options.user, lifetime=lifetime))
    return 0

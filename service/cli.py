"""python -m service demo | try | consume | serve | relay | migrate | token | openapi

Each command imports its modules when it runs, so the relay loads no web framework.
"""

import argparse
import asyncio
import json
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

from service.application.errors import DependencyUnavailable, TransactionFailed, WrongLogin
from service.bootstrap import logs
from service.bootstrap.settings import (
    DatabaseSettings,
    PathSettings,
    RelaySettings,
    Settings,
    TokenSettings,
    WrongSettings,
    load,
)
from service.domain.date_time import InvalidDateTime, parse_date_time
from service.relay.errors import BrokerUnavailable, WrongStream
from service.urls import PORT_MAX, WrongUrl, parse_server_url

BEGINNING = datetime.min.replace(tzinfo=UTC)

DESCRIPTION = """\
Training sessions: planned -> in_progress -> completed | failed, correctly under any race.

Settings are environment variables with the prefix SERVICE_; docs/configuration.md lists them.
To try the service on this machine without setup:  python -m service demo
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0; 1 after a failure; 2 for a wrong setting or argument."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except WrongSettings as exc:
        print(exc, file=sys.stderr)
        return 2


def _fail(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 1


def _serve(_options: argparse.Namespace) -> int:
    settings = load(Settings)

    from service.bootstrap.server import serve  # noqa: PLC0415  the relay needs no web framework

    serve(settings)
    return 0


def _migrate(options: argparse.Namespace) -> int:
    if options.grant_to and options.grant_to == options.grant_relay_to:
        options.usage.error("--grant-to and --grant-relay-to need two different logins")
    settings = load(DatabaseSettings)
    if ignored := settings.ignored():
        print(f"These have no effect here: {', '.join(ignored)}.", file=sys.stderr)

    from alembic.util import CommandError  # noqa: PLC0415  it is slow to import

    from service.bootstrap.migrations import migrate  # noqa: PLC0415  as Alembic
    from service.persistence.errors import DRIVER_ERRORS, explain  # noqa: PLC0415  as SQLAlchemy

    try:
        granted = migrate(
            settings, grant_to=options.grant_to, grant_relay_to=options.grant_relay_to
        )
    except WrongLogin as exc:
        return _fail(f"The schema is up to date, but nothing was granted: {exc}.")
    except (DependencyUnavailable, *DRIVER_ERRORS) as exc:
        return _fail(explain(exc))
    except CommandError as exc:
        return _fail(f"Another version has migrated this database: {exc}.")
    print("The schema is up to date.", *granted, sep="\n")
    return 0


def _relay(options: argparse.Namespace) -> int:
    if options.replay and not options.since:
        options.usage.error("--replay needs --since")
    if options.since and not (options.replay or options.audit):
        options.usage.error("--since belongs to --replay or --audit")
    settings = load(RelaySettings)
    logs.configure(settings.log_level)
    logs.warn_of_ignored(settings.ignored())
    logs.warn_of_pooler(settings.pooler_doubt())

    from uvicorn.loops.auto import auto_loop_factory  # noqa: PLC0415  uvloop where it is installed

    from service.persistence.errors import DRIVER_ERRORS, explain  # noqa: PLC0415  as SQLAlchemy

    try:
        with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
            return runner.run(_relay_command(options, settings))
    except BrokerUnavailable as exc:
        return _fail(f"The broker is not available: {exc}.")
    except (WrongStream, WrongLogin) as exc:
        return _fail(str(exc))
    except (DependencyUnavailable, TransactionFailed, *DRIVER_ERRORS) as exc:
        return _fail(explain(exc))


async def _relay_command(options: argparse.Namespace, settings: RelaySettings) -> int:
    # They import the broker's client.
    from service.bootstrap import relay, relay_commands  # noqa: PLC0415  as above

    if options.parked:
        return await relay_commands.list_parked(settings)
    if options.retry_parked:
        return await relay_commands.retry_parked(settings)
    if options.audit:
        return await relay_commands.audit(settings, options.since or BEGINNING)
    if options.replay:
        return await relay_commands.replay(
            settings, options.since, ensure_stream=options.ensure_stream
        )
    await relay.run(settings, ensure_stream=options.ensure_stream)
    return 0


def _token(options: argparse.Namespace) -> int:
    from service.dev.tokens import mint  # noqa: PLC0415  production mints no tokens

    lifetime = timedelta(seconds=options.expires_in)
    print(mint(load(TokenSettings), options.user, lifetime=lifetime))
    return 0


def _openapi(_options: argparse.Namespace) -> int:
    settings = load(PathSettings)

    from service.http.openapi.document import describe  # noqa: PLC0415  the relay needs no web framework
    from service.http.operations.table import OPERATIONS  # noqa: PLC0415  the same

    print(json.dumps(describe(OPERATIONS, settings.root_path or ""), indent=2, ensure_ascii=False))
    return 0


def _demo(options: argparse.Namespace) -> int:
    from service.dev import demo  # noqa: PLC0415  its PostgreSQL is not installed in production

    return demo.run(options.data, options.port)


def _try(options: argparse.Namespace) -> int:
    from service.dev import tour  # noqa: PLC0415  it looks for the demo's secret

    url = options.url or f"http://127.0.0.1:{options.port}"
    return tour.run(url, options.data)


def _consume(options: argparse.Namespace) -> int:
    from service.dev import consume  # noqa: PLC0415  its servers are not installed in production

    return consume.run(options.data)


def _port(given: str) -> int:
    if re.fullmatch("[0-9]{1,5}", given) and int(given) <= PORT_MAX:
        return int(given)
    raise argparse.ArgumentTypeError(
        f"'{given}' is not a port, which is a number from 1 to {PORT_MAX}, or 0 for a free one"
    )


def _server_url(given: str) -> str:
    try:
        parse_server_url(given, "http", "https")
    except WrongUrl as exc:
        raise argparse.ArgumentTypeError(
            f"it must be a URL such as https://api.example.com, but {exc}"
        ) from None
    return given


def _moment(given: str) -> datetime:
    try:
        return parse_date_time(given)
    except InvalidDateTime as exc:
        raise argparse.ArgumentTypeError(str(exc)) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m service",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser(
        "demo",
        help="run everything on this machine, PostgreSQL included",
        description="Starts a PostgreSQL server, migrates it, starts a session, serves, and prints"
        " the call that fails that session. Ctrl-C stops everything and keeps the data.",
    )
    demo.add_argument("--port", type=_port, default=8000, help="port on 127.0.0.1 (%(default)s)")
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
    place.add_argument("--url", type=_server_url, help="URL of the service")
    place.add_argument(
        "--port", type=_port, default=8000, help="port of the demo on 127.0.0.1 (%(default)s)"
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

    serve = commands.add_parser(
        "serve",
        help="serve the API",
        description="Serves the API with SERVICE_WORKERS processes on SERVICE_HOST and"
        " SERVICE_PORT. Needs SERVICE_DATABASE_URL, and SERVICE_JWT_SECRET or SERVICE_JWKS_URL."
        " Never migrates. SIGTERM starts a graceful shutdown, which takes at most"
        " SERVICE_SHUTDOWN_TIMEOUT_SECONDS after SERVICE_SHUTDOWN_NOTICE_SECONDS.",
    )
    serve.set_defaults(run=_serve)

    migration = commands.add_parser(
        "migrate",
        help="bring the database's schema up to date",
        description="Runs the pending migrations on SERVICE_DATABASE_URL, all or none."
        " Its login must be allowed to create roles and tables. Safe to repeat and to race."
        " The two options name existing logins and may be given together; a login that is granted"
        " one role loses the other.",
    )
    migration.add_argument(
        "--grant-to", metavar="LOGIN", help="let this login act as the API, and not as the relay"
    )
    migration.add_argument(
        "--grant-relay-to",
        metavar="LOGIN",
        help="let this login act as the relay, and not as the API",
    )
    migration.set_defaults(run=_migrate, usage=migration)

    relay = commands.add_parser(
        "relay",
        help="publish events to NATS JetStream",
        description="Publishes the events of SERVICE_DATABASE_URL to the stream"
        " SERVICE_NATS_STREAM at SERVICE_NATS_URL until SIGTERM. Of several relays one is active,"
        " and another takes over when it ends.",
    )
    relay.add_argument(
        "--ensure-stream", action="store_true", help="create the stream if it is missing"
    )
    instead = relay.add_mutually_exclusive_group()
    instead.add_argument("--parked", action="store_true", help="list the parked events, and end")
    instead.add_argument(
        "--retry-parked", action="store_true", help="queue parked events again, and end"
    )
    instead.add_argument(
        "--replay", action="store_true",
        help="publish events since --since that the stream lacks, and end",
    )  # fmt: skip
    instead.add_argument(
        "--audit", action="store_true",
        help="compare the events with the stream, since --since if it is given, and end",
    )  # fmt: skip
    relay.add_argument(
        "--since",
        type=_moment,
        metavar="TIME",
        help="for --replay and --audit: 2026-11-22T09:00:00Z",
    )
    relay.set_defaults(run=_relay, usage=relay)

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

    openapi = commands.add_parser(
        "openapi",
        help="print the description of the API",
        description="Prints the description of the API, OpenAPI 3.1, as GET /openapi.json answers."
        " SERVICE_ROOT_PATH is the path of its server.",
    )
    openapi.set_defaults(run=_openapi)
    return parser

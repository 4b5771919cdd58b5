"""Commands of the database: `migrate`."""

import argparse
import sys

from service.application.errors import DependencyUnavailable, WrongLogin
from service.bootstrap.settings import DatabaseSettings, load
from service.cli.arguments import Commands, fail


def add_to(commands: Commands) -> None:
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
        return fail(f"The schema is up to date, but nothing was granted: {exc}.")
    except (DependencyUnavailable, *DRIVER_ERRORS) as exc:
        return fail(explain(exc))
    except CommandError as exc:
        return fail(f"Another version has migrated this database: {exc}.")
    print("The schema is up to date.", *granted, sep="\n")
    return 0

# SPDX-License-Identifier: MIT
"""Commands of the database: `migrate`."""

import argparse
import sys

from service.application.errors import DependencyUnavailable, TransactionFailed, WrongLogin
from service.bootstrap.settings import DatabaseSettings, load
from service.cli.arguments import Commands, fail
from service.cli.running import stopped, stops_by_exception


def add_to(commands: Commands) -> None:
    migration = commands.add_parser(
        "migrate",
        help="bring the database's schema up to date",
        description="Runs the pending migrations on SERVICE_DATABASE_URL, all or none."
        " Its login must be allowed to create roles and tables. Safe to repeat and to race."
        " The options name existing logins and may be given together; a login that is granted one"
        " role loses the others.",
    )
    migration.add_argument(
        "--grant-to", metavar="LOGIN", help="let this login act as the API, and as nothing else"
    )
    migration.add_argument(
        "--grant-relay-to",
        metavar="LOGIN",
        help="let this login act as the relay, and as nothing else",
    )
    migration.add_argument(
        "--grant-eraser-to",
        metavar="LOGIN",
        help="let this login run `erase` and `prune`, and do nothing else",
    )
    migration.set_defaults(run=_migrate, usage=migration)


def _migrate(options: argparse.Namespace) -> int:
    logins = {
        "grant_to": options.grant_to,
        "grant_relay_to": options.grant_relay_to,
        "grant_eraser_to": options.grant_eraser_to,
    }
    given = [login for login in logins.values() if login]
    if len(given) > len(set(given)):
        options.usage.error("each of the options needs a login of its own")
    settings = load(DatabaseSettings)
    if ignored := settings.ignored():
        print(f"These have no effect here: {', '.join(ignored)}.", file=sys.stderr)

    from alembic.util import CommandError  # noqa: PLC0415  it is slow to import

    from service.bootstrap.migrations import migrate  # noqa: PLC0415  as Alembic
    from service.bootstrap.progress import ProgressBar  # noqa: PLC0415  only commands need it
    from service.persistence.errors import DRIVER_ERRORS, explain  # noqa: PLC0415  as SQLAlchemy

    try:
        with stops_by_exception(), ProgressBar() as progress:
            granted = migrate(settings, **logins, progress=progress)
    except KeyboardInterrupt:
        return stopped("Stopped. All migrations have run or none; the same command goes on.")
    except WrongLogin as exc:
        return fail(f"The schema is up to date, but nothing was granted: {exc}.")
    except (DependencyUnavailable, TransactionFailed, *DRIVER_ERRORS) as exc:
        return fail(explain(exc))
    except CommandError as exc:
        return fail(f"Another version has migrated this database: {exc}.")
    print("The schema is up to date.", *granted, sep="\n")
    return 0

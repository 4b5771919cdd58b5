# SPDX-License-Identifier: MIT
"""The command that looks before a deployment: `check`."""

import argparse
import asyncio
import os

from service.bootstrap import logs
from service.bootstrap.settings import PREFIX, RelaySettings, Settings, WrongSettings, load
from service.cli.arguments import Commands

PARTS = {
    "serve": (f"{PREFIX}JWT_SECRET", f"{PREFIX}JWKS_URL"),
    "relay": (f"{PREFIX}NATS_URL",),
}
"""What can be checked, and the settings that it alone has."""


def add_to(commands: Commands) -> None:
    check = commands.add_parser(
        "check",
        help="check settings, database, keys, broker and stream",
        description="Looks at the settings and their servers as `serve` and `relay` would, changes"
        " nothing, and prints what is ok, a warning, or not ok, and what to do. Without an argument"
        " it checks `serve` if SERVICE_JWT_SECRET or SERVICE_JWKS_URL is set, and `relay` if"
        " SERVICE_NATS_URL is set. Ends with 0, also after warnings; 1 if something is not ok;"
        " 2 for a wrong setting or argument.",
    )
    check.add_argument("part", nargs="?", choices=list(PARTS), help="check what this one needs")
    check.add_argument("--json", action="store_true", help="print JSON (docs/check.schema.json)")
    check.set_defaults(run=_check)


def _check(options: argparse.Namespace) -> int:
    parts = [options.part] if options.part else _configured_parts()
    serve = load(Settings) if "serve" in parts else None
    relay = load(RelaySettings) if "relay" in parts else None
    logs.configure("critical")  # the findings say it

    from service.bootstrap.check import findings, running  # noqa: PLC0415  they import every client

    found = asyncio.run(running.look(serve, relay))
    print(findings.as_json(found) if options.json else findings.as_table(found))
    return findings.exit_status(found)


def _configured_parts() -> list[str]:
    parts = [part for part, names in PARTS.items() if any(map(os.environ.get, names))]
    if not parts:
        raise WrongSettings(
            "To check `serve`, set SERVICE_JWT_SECRET or SERVICE_JWKS_URL; to check `relay`, set"
            " SERVICE_NATS_URL."
        )
    return parts

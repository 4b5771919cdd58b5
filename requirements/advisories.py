# SPDX-License-Identifier: MIT
"""python requirements/advisories.py FILE ...: fails if a locked version has a known advisory.

Asks PyPI, which names the advisories of each release. A version has no answer if PyPI, or a mirror
in its place, does not know it, or knows only its newest release; the last line names these. Exit
code 0 if none can be reached, because a build must not need the network; --required makes that 2.
"""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.request import urlopen

from pip._internal.models.index import PyPI  # pip has no public name for its address

TIMEOUT_SECONDS = 10.0
REQUESTS_IN_FLIGHT = 8
LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


class Package(NamedTuple):
    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


class CannotAsk(Exception):
    """The message says why."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    packages = sorted({each for file in options.files for each in locked(file.read_text())})
    try:
        answers = ask_for_all(packages, options.url)
    except CannotAsk as exc:
        print(f"Advisories were not looked for: {exc}.", file=sys.stderr)
        return 2 if options.required else 0
    return _report(answers)


def locked(text: str) -> list[Package]:
    return [Package(*found) for found in LOCKED.findall(text)]


def ask_for_all(
    packages: Sequence[Package], url: str = PyPI.pypi_url
) -> dict[Package, list[dict[str, Any]] | None]:
    """The advisories of each package; None if there is no answer. Raises CannotAsk."""
    first, *others = packages
    answers = [ask(first, url)]  # alone, so that without a network it fails once, and soon
    executor = ThreadPoolExecutor(REQUESTS_IN_FLIGHT)
    try:
        answers += executor.map(lambda package: ask(package, url), others)
    finally:
        executor.shutdown(cancel_futures=True)
    return dict(zip(packages, answers, strict=True))


def ask(package: Package, url: str) -> list[dict[str, Any]] | None:
    for path in (f"{package.name}/{package.version}", package.name):
        found = _get(f"{url}/{path}/json")
        if found and found["info"]["version"] == package.version:
            return [each for each in found["vulnerabilities"] if not each.get("withdrawn")]
    return None


def _get(url: str) -> Any:
    """None if there is no such page."""
    try:
        with urlopen(url, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310  the URL is ours
            return json.load(answer)
    except HTTPError as exc:
        if exc.code == HTTPStatus.NOT_FOUND:
            return None
        raise CannotAsk(f"{url} answers {exc.code}") from exc
    except (OSError, HTTPException, ValueError) as exc:
        raise CannotAsk(f"{url} gives no answer ({getattr(exc, 'reason', exc)})") from exc


def _report(answers: dict[Package, list[dict[str, Any]] | None]) -> int:
    for package, advisories in answers.items():
        for each in advisories or []:
            fixed = ", ".join(each.get("fixed_in") or []) or "no version"
            print(f"{package}: {each['id']}, fixed in {fixed}: {each.get('link')}")
    vulnerable = [package for package, found in answers.items() if found]
    unknown = [str(package) for package, found in answers.items() if found is None]
    print(f"{len(answers)} locked versions, {len(vulnerable)} with a known advisory.")
    if unknown:
        print(f"No answer for {len(unknown)}: {', '.join(unknown)}.", file=sys.stderr)
    return int(bool(vulnerable))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(": ")[2])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--required", action="store_true", help="fail if the API gives no answer")
    parser.add_argument("--url", default=PyPI.pypi_url, help="JSON API to ask (%(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: MIT
"""The rules of commands that run Python: the parser of each program takes its arguments."""

import getopt
import re
import timeit
from importlib import import_module

from alembic.config import CommandLine

from service.persistence.checks import REVISION
from tests.documents.blocks import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()
PARSERS = {
    "service": "service.cli.main",
    "benchmarks": "benchmarks.cli",
    "benchmarks.compare": "benchmarks.compare",
    "benchmarks.draining": "benchmarks.draining",
    "benchmarks.lone": "benchmarks.lone",
    "benchmarks.tracing": "benchmarks.tracing",
    "benchmarks.tuning": "benchmarks.tuning",
    "tests.chaos": "tests.chaos.__main__",
    "tests.chaos.page": "tests.chaos.page",
    "tests.faults": "tests.faults.__main__",
    "tests.faults.failover": "tests.faults.failover.__main__",
    "tests.faults.brokers": "tests.faults.brokers.__main__",
}
"""The modules that pages run, and where each has its parser."""

WITHOUT_PARSER: dict[str, list[list[str]]] = {
    "benchmarks.tokens": [[]],
    "service.bootstrap.health_check": [[], ["relay"]],
}
"""Which arguments these modules take."""

REJECTED = {("migrate", "--expand"), ("migrate", "--contract")}
"""Commands of an alternative that a decision names, and that do not exist."""

USER = "0f01e02b-5d6e-4d54-8b9d-4b9810d3356a"
VALUES = {
    "--grant-eraser-to": "training_eraser",
    "--grant-relay-to": "training_relay",
    "--grant-to": "training_api",
    "--since": "2026-11-22T09:00:00Z",
}
"""Of options that a sentence may name without their value."""

PRINT_AND_END = {"--help", "--version"}
PLACEHOLDERS = {"FILE": "report.json", "ID": USER, "MINUTES": "5", "SEED": "1", "USERS": "20"}


def python(arguments: list[str]) -> None:
    first, *rest = arguments
    if first == "-c":
        compile(rest[0], "-c", "exec")
    elif first == "-m" and rest[0] == "pytest":
        _pytest(rest[1:])
    elif first == "-m" and rest[0] == "timeit":
        _timeit(rest[1:])
    elif first == "-m" and rest[0] != "venv":
        _parse(rest[0], rest[1:])
    elif first != "-m":
        assert (ROOT / first).is_file(), first
        assert {each for each in rest if each.startswith("--")} <= set(
            re.findall(r"--[\w-]+", (ROOT / first).read_text())
        )


def service(arguments: list[str]) -> None:
    """In a sentence, a command may lack what it needs, and have … for more words."""
    words = [
        "http://gym.example" if each == "x" and "--url" in arguments else each for each in arguments
    ]
    words = [each for each in words if each != "x"]
    if words[-1] in VALUES:
        words.append(VALUES[words[-1]])
    if words[0] == "erase" and "--user" not in words:
        words += ["--user", USER]
    if tuple(words) not in REJECTED:
        _parse("service", words)


def _parse(module: str, arguments: list[str]) -> None:
    if module in WITHOUT_PARSER:
        assert import_module(module).main
        assert arguments in WITHOUT_PARSER[module]
        return
    parser = import_module(PARSERS[module])._parser()  # noqa: SLF001  the parser of the command
    words = [PLACEHOLDERS.get(each, each) for each in arguments if each not in PRINT_AND_END]
    if words or not arguments:
        parser.parse_args(words)


def _pytest(arguments: list[str]) -> None:
    files = [each for each in arguments if each.startswith("tests")]
    assert files or arguments == ["FILE", "-k", "TEST"]
    assert all((ROOT / each).exists() for each in files)
    if "-k" in arguments and files:
        [words] = arguments[arguments.index("-k") + 1 :]
        assert re.search(rf"def test_\w*{words}", (ROOT / files[0]).read_text())


def _timeit(arguments: list[str]) -> None:
    """Runs the statement once."""
    options, statements = getopt.getopt(arguments, "s:")
    setup = "\n".join(value for _, value in options)
    timeit.timeit("\n".join(statements), setup, number=1)


def make(arguments: list[str]) -> None:
    target, *variables = [each for each in arguments if "=" not in each] + [
        each for each in arguments if "=" in each
    ]
    recipe = re.search(rf"^{target}:.*\n((?:\t.*\n)*)", MAKEFILE, re.MULTILINE)
    assert recipe, f"make {target}"
    for name, _, value in (each.partition("=") for each in variables):
        assert f"$({name})" in recipe[1], name
        module = re.search(r"\$\(RUN\) (\S+).* \$\(ARGS\)", recipe[1])
        if module and module[1] == "pytest":
            _pytest(value.split())
        elif module and module[1] in PARSERS:
            _parse(module[1], value.split())


def alembic(arguments: list[str]) -> None:
    options = CommandLine().parser.parse_args(arguments)
    assert int(options.rev_id) == int(REVISION) + 1

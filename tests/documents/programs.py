# SPDX-License-Identifier: MIT
"""The rule of each program that a page runs: what must exist, and which arguments it takes."""

import itertools
import re
from collections.abc import Iterable
from pathlib import Path

import yaml

from service.bootstrap.settings import RelaySettings, Settings, all_settings
from service.http.operations.table import OPERATIONS
from tests.documents.blocks import ROOT
from tests.documents.console import OF_THE_SERVICE, Command
from tests.documents.other_programs import OF_OTHER_PROJECTS, Rule
from tests.documents.python_programs import alembic, make, python, service
from tests.system.compose import SERVICES

COMPOSE = {
    "build": set[str](),
    "exec": {"-T"},
    "logs": {"--no-log-prefix", "--since"},
    "ps": {"-a"},
    "restart": set(),
    "run": {"--rm"},
    "up": {"--build", "--detach", "--no-deps", "--scale"},
}
"""The options of `docker compose` that pages use; its own help lists them."""

CURL = {"--fail", "-s", "-sS", "-o", "-w"}
OF_A_SHELL = {".", "cd", "do", "done", "echo", "for", "kill", "ulimit"}
OF_EVERY_UNIX = {"cp", "cut", "jq", "ln", "mkdir", "openssl", "printf", "ps", "sed", "sort", "wc"}
"""A shell has parsed their words, and files that they name are looked for: no page shows more."""

OF_THE_SYSTEM = {"apt", "dmesg", "git", "pip", "pre-commit", "systemctl", "useradd"}
"""The same; what they change is the reader's machine."""

OF_CONSUMERS = {"CONSUMER_NATS_URL", "CONSUMER_DATABASE_URL", "WEBHOOK_URL", "WEBHOOK_SECRET"}
FOREIGN_WORDS = {"killed process": "the kernel logs it", "child process|worker": "uvicorn logs it"}
EXTRA = re.compile(r".\[demo\]")
VIRTUAL_ENVIRONMENT = re.compile(r"(?:.*/)?(?:venv|\.venv)/bin/")


def check(command: Command) -> None:
    for name in command.variables:
        _variable(name)
    if command.words[0] in OF_THE_SERVICE:
        service(command.words)
    elif command.is_of_a_sentence and command.words[:3] == ["python", "-m", "service"]:
        service(command.words[3:])
    else:
        _run(command.words)


def _run(words: list[str]) -> None:
    if not words:
        return
    program, *arguments = words
    program = VIRTUAL_ENVIRONMENT.sub("", program)
    rule = RULES.get(program)
    assert rule or program in OF_A_SHELL | OF_EVERY_UNIX | OF_THE_SYSTEM, f"no rule for {program}"
    _files_exist(arguments)
    if rule:
        rule(arguments)


def _files_exist(words: Iterable[str]) -> None:
    """Looks for what is below a directory of the repository."""
    places = {each.name for each in ROOT.iterdir() if each.is_dir()}
    for word in words:
        first, *rest = Path(word).parts or [""]
        if first in places and rest and not re.search(r"[$*:]", word):
            assert (ROOT / word).exists(), word


def _variable(name: str) -> None:
    known = {f"SERVICE_{each}".upper() for each in all_settings()}
    assert name in known | OF_CONSUMERS | {"PORT"} or name.startswith("OTEL_"), name


def _docker(arguments: list[str]) -> None:
    if arguments[0] != "compose":
        assert arguments[0] in {"build", "push", "buildx", "restart", "stop"}, arguments
        return
    words = arguments[1:]
    if words[0] == "--profile":
        assert any(words[1] in each.get("profiles", []) for each in SERVICES.values())
        words = words[2:]
    action, *rest = words
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        assert option in COMPOSE[action], option
        if option in {"--since", "--scale"}:
            rest.insert(0, rest.pop(0).partition("=")[0])
            rest = rest[1:] if option == "--since" else rest
    assert not rest or rest[0] in SERVICES, rest
    _run(rest[1:])


def _kubectl(arguments: list[str]) -> None:
    for option, place in itertools.pairwise(arguments):
        if option == "-f":
            assert place == "-" or yaml.safe_load((ROOT / place).read_text())
        if option == "-k":
            assert place == "production" or (ROOT / place / "kustomization.yaml").exists()
    if "--" in arguments:
        _run(arguments[arguments.index("--") + 1 :])


def _sudo(arguments: list[str]) -> None:
    words = list(arguments)
    while words[0].startswith("--preserve-env="):
        _variable(words.pop(0).partition("=")[2])
    _run(words)


def _curl(arguments: list[str]) -> None:
    assert {each for each in arguments if each.startswith("-")} <= CURL
    paths = {each.path for each in OPERATIONS} | {"/metrics"}
    for url in (each for each in arguments if re.search(r"localhost|127\.0\.0\.1", each)):
        assert f"/{url.removeprefix('http://').partition('/')[2]}" in paths, url


def _export(arguments: list[str]) -> None:
    [(name, _, value)] = [each.partition("=") for each in arguments]
    _variable(name)
    field = name.removeprefix("SERVICE_").lower()
    for settings in (Settings, RelaySettings):
        if name.startswith("SERVICE_") and field in settings.model_fields:
            given = {
                "jwt_secret": "x" * 32,
                "nats_url": "nats://a",
                "database_url": "postgresql://a@b/c",
            }
            settings.model_validate(given | ({field: value} if value != "x" else {}))


def _grep(arguments: list[str]) -> None:
    words = next(each for each in arguments if not each.startswith("-"))
    source = "".join(each.read_text() for each in (ROOT / "service").rglob("*.py"))
    found = [each in source for each in re.findall(r"[\w ]+", words)]
    assert words in FOREIGN_WORDS or all(found), words


def _uvx(arguments: list[str]) -> None:
    source, place, *command = arguments
    assert (source, place) == ("--from", ".") or EXTRA.fullmatch(place)
    if command:
        assert command[0] == "training-sessions"
        service(command[1:])


def _psql(arguments: list[str]) -> None:
    """test_sql.py runs the statements."""
    assert {each for each in arguments if each.startswith("-")} <= {"-U", "-c"}
    assert "-c" in arguments


RULES: dict[str, Rule] = {
    "alembic": alembic,
    "curl": _curl,
    "docker": _docker,
    "export": _export,
    "grep": _grep,
    "kubectl": _kubectl,
    "make": make,
    "psql": _psql,
    "python": python,
    "python3": python,
    "sudo": _sudo,
    "training-sessions": service,
    "uvx": _uvx,
    **OF_OTHER_PROJECTS,
}

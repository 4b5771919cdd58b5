# SPDX-License-Identifier: MIT
"""Reads docker-compose.yml and Dockerfile as Docker does."""

import json
import re
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import yaml

from tests.system.processes import ROOT

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
EXAMPLE = dict(
    line.split("=", 1)
    for line in (ROOT / ".env.example").read_text().splitlines()
    if line and not line.startswith("#")
)
SECRETS = {name: value for name, value in EXAMPLE.items() if not name.endswith("PORT")}


class MissingVariable(Exception):
    pass


def interpolated(node: Any, environment: Mapping[str, str]) -> Any:
    """As compose does it: ${A}, ${A:-when missing or empty}, ${A:?refusal}, and $$ for $."""
    if isinstance(node, dict):
        return {key: interpolated(value, environment) for key, value in node.items()}
    if isinstance(node, list):
        return [interpolated(value, environment) for value in node]
    if not isinstance(node, str):
        return node

    def value_of(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        value = environment.get(found["name"], "")
        if not value and found["how"] == ":?":
            raise MissingVariable(found["name"], found["words"])
        return value or found["words"] or ""

    return re.sub(r"\$\$|\$\{(?P<name>\w+)(?:(?P<how>:[-?])(?P<words>[^}]*))?\}", value_of, node)


STACK = interpolated(COMPOSE, EXAMPLE)
SERVICES = STACK["services"]
CONFIGS = {
    name: config["content"] if "content" in config else (ROOT / config["file"]).read_text()
    for name, config in STACK["configs"].items()
}


class Instruction(NamedTuple):
    name: str
    words: str


def dockerfile() -> list[Instruction]:
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", "").splitlines()
    return [Instruction(*line.split(maxsplit=1)) for line in lines if line.strip()]


def the(name: str) -> str:
    """The words of the last instruction of this name, the only one that has an effect."""
    return [each.words for each in dockerfile() if each.name == name][-1]


BALANCER = CONFIGS["balancer"]
IMAGE_ENVIRONMENT = dict(word.split("=", 1) for word in the("ENV").split())
ENTRYPOINT = [
    sys.executable if word == "python" else word for word in json.loads(the("ENTRYPOINT"))
]
HEALTH_CHECK = json.loads(the("HEALTHCHECK").partition("CMD")[2])

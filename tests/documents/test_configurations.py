# SPDX-License-Identifier: MIT
"""Files and settings that pages show: what they name is there, and is what the code reads."""

import configparser
import json
import re
from typing import Any

import yaml

from service import __version__
from service.bootstrap.settings import Settings
from service.persistence.tables import events
from tests.documents.blocks import ROOT, block
from tests.documents.console import commands
from tests.system.compose import the as in_dockerfile
from tests.system.kubernetes import PLACE, container, the


def test_a_kustomization_names_the_manifests_and_their_image() -> None:
    shown = yaml.safe_load(block("docs/deploy.md", "# production/kustomization.yaml\n"))
    [image] = shown["images"]

    assert [(ROOT / "production" / each).resolve() for each in shown["resources"]] == [PLACE]
    assert container("api")["image"].startswith(image["name"])
    assert shown["namespace"] == the("Namespace", shown["namespace"])["metadata"]["name"]
    assert image["newTag"] == __version__


def test_a_patch_replaces_the_port_of_postgresql() -> None:
    shown = yaml.safe_load(block("docs/deploy.md", "# production/kustomization.yaml: a pooler"))
    [patch] = shown["patches"]
    [change] = yaml.safe_load(patch["patch"])

    value: Any = the(patch["target"]["kind"], patch["target"]["name"])
    for step in change["path"].strip("/").split("/"):
        value = value[int(step) if isinstance(value, list) else step]

    assert (change["op"], value, change["value"]) == ("replace", 5432, 6543)


def _unit(text: str) -> configparser.ConfigParser:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their case
    unit.read_string(text)
    return unit


def test_a_unit_of_systemd_runs_what_the_page_has_installed() -> None:
    service = _unit(block("docs/deploy.md", "# /etc/systemd/system/training-api.service"))[
        "Service"
    ]
    [made] = [each.words for each in commands() if each.words[1:2] == ["useradd"]]
    [linked] = {each.words[-1] for each in commands() if each.words[1:2] == ["ln"]}

    assert service["User"] == made[-1]
    assert service["WorkingDirectory"] == linked
    assert service["ExecStart"].startswith(f"{linked}/venv/bin/python -m service ")
    names = re.findall(r"SERVICE_(\w+)=", service["Environment"])
    assert {each.lower() for each in names} <= Settings.model_fields.keys()


def test_a_timer_of_systemd_runs_the_audit_every_day() -> None:
    api = _unit(block("docs/deploy.md", "# /etc/systemd/system/training-api.service"))["Service"]
    audit = _unit(block("docs/deploy.md", "# /etc/systemd/system/training-audit.service"))[
        "Service"
    ]
    timer = _unit(block("docs/deploy.md", "# /etc/systemd/system/training-audit.timer"))["Timer"]

    assert audit["Type"] == "oneshot"
    assert audit["ExecStart"] == api["ExecStart"].replace(
        " serve", f" {' '.join(container('audit')['args'])}"
    )
    assert [audit[each] for each in ("User", "WorkingDirectory")] == [
        api[each] for each in ("User", "WorkingDirectory")
    ]
    assert timer["OnCalendar"] == "daily"


def test_an_image_with_tracing_is_made_from_files_that_are_there() -> None:
    steps = re.findall(r"^(\w+) (.*)$", block("docs/tracing.md", "FROM"), re.MULTILINE)
    [copied] = [words.split()[0] for name, words in steps if name == "COPY"]
    users = [words for name, words in steps if name == "USER"]

    assert (ROOT / copied).is_file()
    assert next(words for name, words in steps if name == "RUN").endswith(copied)
    assert users[-1] == in_dockerfile("USER")


def test_a_trace_has_the_spans_that_the_service_makes() -> None:
    shown = re.findall(
        r"^ *[└├]─ (.+?)  .*\b(server|internal|client|producer|consumer)\b",
        block("docs/tracing.md", "phone").replace("│", " "),
        re.MULTILINE,
    )
    source = "".join(
        each.read_text()
        for place in ("service/observability/tracing", "docs/examples")
        for each in (ROOT / place).glob("*.py")
    )

    assert len(shown) == 5
    for name, kind in shown:
        assert kind == "internal" or f"SpanKind.{kind.upper()}" in source
        assert name.startswith("POST ") or f'"{name.partition(" ")[0]}' in source


def test_debezium_reads_columns_of_events() -> None:
    settings = json.loads(block("docs/change-data-capture.md", "{"))["config"]
    sql = block("docs/change-data-capture.md", "CREATE ROLE debezium")
    columns = {each.name for each in events.columns}
    prefix = "transforms.outbox.table.field"
    more = settings[f"{prefix}s.additional.placement"].split(",")
    excluded = settings["column.exclude.list"].split(",")

    named = {settings[f"{prefix}.event.{each}"] for each in ("id", "key", "payload")}
    named |= {each.partition(":")[0] for each in more} | {
        settings["transforms.outbox.route.by.field"]
    }
    left_out = {each.removeprefix("public.events.") for each in excluded}
    assert named | left_out == columns
    assert not named & left_out
    assert f"ROLE {settings['database.user']} " in sql
    assert f"PUBLICATION {settings['publication.name']} " in sql


def test_origins_are_accepted() -> None:
    name, _, value = block("docs/configuration.md", "SERVICE_CORS").strip().partition("=")
    field = name.removeprefix("SERVICE_").lower()
    required = {"database_url": "postgresql://a@b/c", "jwt_secret": "x" * 32}

    found = Settings.model_validate(required | {field: value})

    assert ",".join(found.allowed_origins) == value

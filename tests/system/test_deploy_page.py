# SPDX-License-Identifier: MIT
"""docs/deploy.md: what it names is there, and its times are those of the service."""

import re
from typing import Any

import pytest

from service.bootstrap.settings import Settings, all_settings
from tests.system.compose import SERVICES
from tests.system.compose import the as in_dockerfile
from tests.system.kubernetes import (
    BUILT_IN,
    SECRETS,
    WORKLOADS,
    container,
    secret_environment,
    template,
)
from tests.system.processes import ROOT

PAGE = (ROOT / "docs" / "deploy.md").read_text()
MADE = dict(re.findall(r"create secret generic (training-sessions-\w+) \\\n((?:    .*\n)+)", PAGE))


def _default(name: str) -> Any:
    return Settings.model_fields[name].default


def test_every_variable_is_a_setting() -> None:
    named = set(re.findall(r"SERVICE_[A-Z_]+", PAGE))

    assert named
    assert named <= {f"SERVICE_{name}".upper() for name in all_settings()}


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_secret_has_the_keys_that_the_manifest_reads(name: str) -> None:
    made = set(re.findall(r"--from-literal=([\w-]+)=", MADE[SECRETS[name]]))
    read = secret_environment(name).values()

    assert made <= {each["key"] for each in read}
    assert made >= {each["key"] for each in read if not each.get("optional")}


def test_every_label_and_object_of_a_command_is_in_the_manifests() -> None:
    labels = {each["metadata"]["labels"]["app.kubernetes.io/component"] for each in BUILT_IN}
    chosen = re.findall(r"-l app\.kubernetes\.io/component=(\w+)", PAGE)
    objects = set(re.findall(r"\b(deployment|cronjob|job)/(\w+)", PAGE))

    assert set(chosen) == labels - {"namespace"}
    assert objects == {
        (each["kind"].lower(), each["metadata"]["name"]) for each in WORKLOADS.values()
    }


def test_a_deploy_migrates_then_rolls_the_api_then_the_relay() -> None:
    chosen = re.findall(r"apply -k production -l app\.kubernetes\.io/component=(\w+)", PAGE)
    services = re.findall(r"docker compose (?:run|up) .*\b(migrate|api|relay)\n", PAGE)

    assert chosen == ["network", "migration", "api", "relay", "audit"]
    assert services == ["migrate", "api", "relay"]


def test_the_image_is_the_one_of_the_dockerfile() -> None:
    assert f"`{in_dockerfile('FROM')}`" in PAGE
    assert set(re.findall(r"python:[\w.-]+", PAGE)) == {in_dockerfile("FROM")}


def test_the_plain_host_runs_the_same_commands_and_gives_them_their_time() -> None:
    [seconds] = re.findall(r"TimeoutStopSec=(\d+)", PAGE)
    [notice] = re.findall(r"Environment=SERVICE_SHUTDOWN_NOTICE_SECONDS=(\d+)", PAGE)
    transaction = _default("database_statement_timeout_seconds") + _default(
        "database_idle_in_transaction_timeout_seconds"
    )

    assert int(seconds) >= int(notice) + _default("shutdown_timeout_seconds") + transaction
    assert f"python -m service {' '.join(container('api')['args'])}\n" in PAGE
    assert f"`{' '.join(container('relay')['args'])}`" in PAGE
    assert " ".join(SERVICES["migrate"]["command"][1:]) in PAGE


def test_compose_runs_the_same_audit() -> None:
    command = " ".join(container("audit")["args"])

    assert f"docker compose exec -T relay python -m service {command}\n" in PAGE


def test_the_times_of_a_pod_are_those_of_the_manifest() -> None:
    grace = template("api")["spec"]["terminationGracePeriodSeconds"]
    wait = container("api")["lifecycle"]["preStop"]["sleep"]["seconds"]

    assert f"`terminationGracePeriodSeconds` is {grace}," in PAGE
    assert f"`preStop` waits {wait} s," in PAGE

# SPDX-License-Identifier: MIT
"""deploy/kubernetes: its commands, settings, ports, probes and times are those of the service."""

from typing import Any

import pytest
from pydantic import SecretStr
from pydantic_settings import BaseSettings

from service.bootstrap.settings import DatabaseSettings, RelaySettings, Settings
from tests.system.compose import SERVICES
from tests.system.kubernetes import (
    SECRETS,
    WORKLOADS,
    container,
    plain_environment,
    ports,
    probes,
    secret_environment,
    template,
)

SETTINGS: dict[str, type[BaseSettings]] = {
    "api": Settings,
    "relay": RelaySettings,
    "migration": DatabaseSettings,
    "audit": RelaySettings,
}
DEFAULTS = {name: field.default for name, field in Settings.model_fields.items()}
LONG_LIVED = ["api", "relay"]


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_variable_is_a_setting_of_the_command_that_reads_it(name: str) -> None:
    settings = {f"SERVICE_{field}".upper() for field in SETTINGS[name].model_fields}
    given = [each["name"] for each in container(name)["env"]]

    assert len(given) == len(set(given))
    assert set(given) <= settings


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_secret_is_a_reference(name: str) -> None:
    secret = {
        f"SERVICE_{field}".upper()
        for field, info in SETTINGS[name].model_fields.items()
        if SecretStr in _types(info.annotation)
    }
    required = {
        f"SERVICE_{field}".upper()
        for field, info in SETTINGS[name].model_fields.items()
        if info.is_required()
    }
    references = secret_environment(name)

    assert not secret & set(plain_environment(name))
    assert required == {variable for variable, key in references.items() if not key.get("optional")}
    assert {key["name"] for key in references.values()} == {SECRETS[name]}


def test_the_migration_grants_the_roles_to_the_logins_of_the_compose_file() -> None:
    assert container("migration")["args"] == SERVICES["migrate"]["command"]


@pytest.mark.parametrize("name", LONG_LIVED)
def test_a_workload_runs_the_command_of_the_compose_file(name: str) -> None:
    assert container(name)["args"] == SERVICES[name]["command"]
    assert "command" not in container(name)  # the image's entrypoint


def test_ports_are_those_of_the_settings() -> None:
    api, relay = plain_environment("api"), plain_environment("relay")

    assert ports("api") == {
        "http": int(api["SERVICE_PORT"]),
        "metrics": int(api["SERVICE_METRICS_PORT"]),
    }
    assert ports("relay") == {"metrics": int(relay["SERVICE_METRICS_PORT"])}
    assert api["SERVICE_HOST"] == api["SERVICE_METRICS_HOST"] == relay["SERVICE_METRICS_HOST"]
    assert api["SERVICE_HOST"] == "0.0.0.0"  # noqa: S104  the pod's address


@pytest.mark.parametrize("name", LONG_LIVED)
def test_a_workload_has_all_probes_on_one_of_its_ports(name: str) -> None:
    [port] = {each["port"] for each in probes(name).values()}

    assert {probe: each["path"] for probe, each in probes(name).items()} == {
        "startupProbe": "/livez",
        "livenessProbe": "/livez",
        "readinessProbe": "/readyz",
    }
    assert port in ports(name)


def test_the_api_has_enough_time_to_shut_down() -> None:
    wait = container("api")["lifecycle"]["preStop"]["sleep"]["seconds"]
    notice = float(plain_environment("api")["SERVICE_SHUTDOWN_NOTICE_SECONDS"])
    transaction = (
        DEFAULTS["database_statement_timeout_seconds"]
        + DEFAULTS["database_idle_in_transaction_timeout_seconds"]
    )
    takes = wait + notice + DEFAULTS["shutdown_timeout_seconds"] + transaction

    assert template("api")["spec"]["terminationGracePeriodSeconds"] >= takes


def test_a_pod_that_ends_is_not_ready_before_it_stops() -> None:
    notice = float(plain_environment("api")["SERVICE_SHUTDOWN_NOTICE_SECONDS"])
    probe = container("api")["readinessProbe"]

    assert probe["periodSeconds"] * probe["failureThreshold"] < notice


def test_the_relay_has_as_much_time_to_end_as_in_the_compose_file() -> None:
    seconds = int(SERVICES["relay"]["stop_grace_period"].removesuffix("s"))

    assert template("relay")["spec"]["terminationGracePeriodSeconds"] >= seconds


def _types(annotation: Any) -> set[Any]:
    inner = getattr(annotation, "__args__", ())
    return {annotation}.union(*map(_types, inner))

# SPDX-License-Identifier: MIT
"""docker-compose.yml and Dockerfile: their form."""

import json
import re
from urllib.parse import urlsplit

import pytest
import yaml

from service.application.errors import DependencyUnavailable
from service.bootstrap.settings import Settings
from tests.system.compose import (
    BALANCER,
    COMPOSE,
    CONFIGS,
    EXAMPLE,
    IMAGE_ENVIRONMENT,
    SECRETS,
    SERVICES,
    MissingVariable,
    dockerfile,
    interpolated,
    the,
)
from tests.system.kubernetes import plain_environment
from tests.system.processes import ROOT

DEFAULTS = {name: field.default for name, field in Settings.model_fields.items()}
TRANSACTION_MAX = (
    DEFAULTS["database_statement_timeout_seconds"]
    + DEFAULTS["database_idle_in_transaction_timeout_seconds"]
)


def test_images_are_pinned_to_a_version() -> None:
    images = [service["image"] for service in SERVICES.values()] + [the("FROM")]

    assert [
        image for image in images if not re.fullmatch(r"[\w./-]+:v?\d+\.\d+[\w.-]*", image)
    ] == []


def test_every_service_that_stays_up_has_a_health_check() -> None:
    one_shots = {
        name
        for service in SERVICES.values()
        for name, needed in service.get("depends_on", {}).items()
        if needed["condition"] == "service_completed_successfully"
    }
    checks = {name: service.get("healthcheck", {}) for name, service in SERVICES.items()}
    own = {name for name, check in checks.items() if "test" in check}
    of_the_image = {
        name for name, service in SERVICES.items() if service["image"].startswith("training")
    } & {name for name, check in checks.items() if not check}

    assert one_shots == {"migrate"}
    assert of_the_image == {"api"}
    assert own == {"postgres", "balancer", "nats", "relay", "prometheus", "grafana"}
    assert set(SERVICES) == own | of_the_image | one_shots


def test_api_and_relay_have_two_replicas() -> None:
    replicas = {name: service.get("deploy") for name, service in SERVICES.items()}

    assert replicas["api"] == replicas["relay"] == {"replicas": 2}
    assert not [name for name in ("api", "relay") if "ports" in SERVICES[name]]


def test_a_config_is_mounted_where_compose_can_write() -> None:
    mounting = {name for name, service in SERVICES.items() if "configs" in service}
    mounted = {each["source"] for name in mounting for each in SERVICES[name]["configs"]}

    assert mounted == set(CONFIGS)
    assert not [name for name in mounting if SERVICES[name].get("read_only")]


def test_volumes_are_named() -> None:
    volumes = [each for service in SERVICES.values() for each in service.get("volumes", [])]

    assert {each.split(":")[0] for each in volumes} == set(COMPOSE["volumes"])


def test_only_monitoring_services_are_in_a_profile() -> None:
    profiles = {name: service.get("profiles") for name, service in SERVICES.items()}

    assert {name: profile for name, profile in profiles.items() if profile} == {
        "prometheus": ["observability"],
        "grafana": ["observability"],
    }


def test_the_api_starts_after_the_migration_and_never_migrates() -> None:
    assert SERVICES["api"]["command"] == ["serve"]
    assert SERVICES["api"]["depends_on"]["migrate"] == {
        "condition": "service_completed_successfully"
    }
    assert SERVICES["migrate"]["depends_on"]["postgres"] == {"condition": "service_healthy"}
    assert EXAMPLE["POSTGRES_PASSWORD"] not in str(SERVICES["api"])


def test_api_and_relay_have_logins_of_their_own_and_each_is_granted_its_role() -> None:
    logins = {
        name: urlsplit(SERVICES[name]["environment"]["SERVICE_DATABASE_URL"])
        for name in ("api", "relay")
    }
    created = re.findall(r"CREATE ROLE (\w+) LOGIN PASSWORD '(.+)';", CONFIGS["make-logins"])

    assert created == [(url.username, url.password) for url in logins.values()]
    assert len({url.username for url in logins.values()}) == 2
    assert len({url.password for url in logins.values()}) == 2
    assert SERVICES["migrate"]["command"] == [
        "migrate",
        *("--grant-to", logins["api"].username),
        *("--grant-relay-to", logins["relay"].username),
    ]


def test_only_this_machine_reaches_a_port() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]

    assert ports == [
        "127.0.0.1:8000:8000",
        "127.0.0.1:4222:4222",
        "127.0.0.1:9090:9090",
        "127.0.0.1:3000:3000",
    ]


@pytest.mark.parametrize("name", SECRETS)
def test_a_missing_secret_is_refused_with_a_sentence(name: str) -> None:
    with pytest.raises(MissingVariable, match=r"copy \.env\.example to \.env") as refusal:
        interpolated(COMPOSE, EXAMPLE | {name: ""})

    assert refusal.value.args[0] == name


def test_secrets_come_from_the_environment_and_examples_are_named_as_such() -> None:
    text = (ROOT / "docker-compose.yml").read_text()

    assert set(SECRETS) == {
        "POSTGRES_PASSWORD",
        "API_PASSWORD",
        "RELAY_PASSWORD",
        "NATS_PASSWORD",
        "GRAFANA_PASSWORD",
        "SERVICE_JWT_SECRET",
    }
    assert all("development" in value for value in SECRETS.values())
    assert not [value for value in SECRETS.values() if value in text]
    assert not re.search(r"PASSWORD '\w|://\w+:\w+@", text)


def test_the_image_contains_only_what_the_service_needs() -> None:
    copied = [each.words.split()[0] for each in dockerfile() if each.name == "COPY"]
    let_in = re.findall("^!(.*)", (ROOT / ".dockerignore").read_text(), flags=re.MULTILINE)

    assert set(copied) == {"requirements/runtime.txt", "alembic.ini", "migrations/", "service/"}
    assert all((ROOT / path).exists() for path in copied)
    assert {path.rstrip("/") for path in copied} == set(let_in)
    assert "--no-cache-dir" in the("RUN")
    assert "--require-hashes" in the("RUN")


def test_the_image_runs_as_a_numbered_user_other_than_root() -> None:
    user = re.fullmatch(r"(\d+):(\d+)", the("USER"))

    assert user
    assert "0" not in user.groups()


def test_the_image_listens_on_every_address_and_names_its_ports() -> None:
    hosts = {name: value for name, value in IMAGE_ENVIRONMENT.items() if name.endswith("_HOST")}

    assert hosts == {"SERVICE_HOST": "0.0.0.0", "SERVICE_METRICS_HOST": "0.0.0.0"}  # noqa: S104  a container's
    assert the("EXPOSE") == f"{DEFAULTS['port']} {plain_environment('api')['SERVICE_METRICS_PORT']}"


def test_no_package_index_is_named() -> None:
    texts = [(ROOT / name).read_text() for name in ("Dockerfile", "docker-compose.yml")]

    assert not [text for text in texts if "index-url" in text or "https://" in text]


def test_the_api_has_enough_time_to_shut_down() -> None:
    notice = float(SERVICES["api"]["environment"]["SERVICE_SHUTDOWN_NOTICE_SECONDS"])
    takes = notice + DEFAULTS["shutdown_timeout_seconds"] + TRANSACTION_MAX

    assert _seconds(SERVICES["api"]["stop_grace_period"]) >= takes


def test_the_balancer_notices_a_shutdown_before_the_replica_ends() -> None:
    notice = float(SERVICES["api"]["environment"]["SERVICE_SHUTDOWN_NOTICE_SECONDS"])
    [interval, failures] = re.findall(r" check inter (\d+)s fall (\d+) ", BALANCER)[0]

    assert int(interval) * (int(failures) + 1) < notice


def test_the_balancer_asks_for_readiness_and_finds_every_replica() -> None:
    replicas = SERVICES["api"]["deploy"]["replicas"]
    [slots, address] = re.findall(r"server-template replica (\d+) (\S+) check ", BALANCER)[0]

    assert "http-check send meth GET uri /readyz" in BALANCER
    assert "http-check expect status 200" in BALANCER
    assert address == f"api:{DEFAULTS['port']}"
    assert int(slots) >= 2 * replicas


def test_the_balancer_repeats_only_unsent_or_idempotent_requests() -> None:
    assert re.findall("retry-on (.*)", BALANCER) == ["conn-failure empty-response"]
    assert re.findall("disable-l7-retry (.*)", BALANCER) == [
        "unless { method GET HEAD } or { req.fhdr(Idempotency-Key) -m found }"
    ]
    assert "option http-buffer-request" in BALANCER  # else there is nothing left to repeat


def test_the_balancer_waits_longer_than_a_command_and_closes_idle_connections_before_the_api() -> (
    None
):
    longest_command = DEFAULTS["command_timeout_seconds"] + 3 * TRANSACTION_MAX

    assert _seconds(_balancers("timeout server")) > longest_command
    assert _seconds(_balancers("timeout http-keep-alive")) < DEFAULTS["keep_alive_seconds"]
    assert _seconds(_balancers("hard-stop-after")) >= _seconds(_balancers("timeout server"))
    assert _seconds(SERVICES["balancer"]["stop_grace_period"]) > _seconds(
        _balancers("hard-stop-after")
    )


def test_a_replica_takes_as_many_connections_as_the_balancer() -> None:
    assert int(_balancers("maxconn")) <= DEFAULTS["connections_max"]


@pytest.mark.parametrize("status", [502, 503, 504])
def test_the_balancers_own_errors_have_the_services_format(status: int) -> None:
    [body] = re.findall(f"http-error status {status} .* lf-string '(.*)' hdr", BALANCER)

    assert json.loads(body)["error"].keys() == {"code", "message", "details"}
    assert json.loads(body)["error"]["code"] == DependencyUnavailable.code
    assert json.loads(body)["error"]["details"].keys() == {"dependency", "requestId"}


def test_nats_keeps_messages_on_its_volume_and_waits_for_the_disk() -> None:
    [volume] = SERVICES["nats"]["volumes"]

    assert "sync_interval: always" in CONFIGS["nats"]
    assert f"store_dir: {volume.split(':')[1]}\n" in CONFIGS["nats"]


def test_prometheus_scrapes_services_of_the_stack_and_grafana_reads_prometheus() -> None:
    jobs = {job["job_name"]: job for job in yaml.safe_load(CONFIGS["prometheus"])["scrape_configs"]}
    [source] = yaml.safe_load(CONFIGS["grafana-data-sources"])["datasources"]
    [provider] = yaml.safe_load(CONFIGS["grafana-dashboards"])["providers"]
    mounted = [each["target"] for each in SERVICES["grafana"]["configs"]]

    assert set(jobs) == {"prometheus", "balancer", "api", "relay"}
    assert jobs["balancer"]["static_configs"] == [{"targets": ["balancer:8404"]}]
    assert "bind :8404" in BALANCER
    assert source["url"] == "http://prometheus:9090"
    assert f"{provider['options']['path']}/dashboards.yaml" in mounted


@pytest.mark.parametrize("name", ["api", "relay"])
def test_prometheus_finds_every_replica_by_the_name_of_its_service(name: str) -> None:
    [job] = [
        job
        for job in yaml.safe_load(CONFIGS["prometheus"])["scrape_configs"]
        if job["job_name"] == name
    ]
    [lookup] = job["dns_sd_configs"]

    assert lookup["names"] == [name]
    assert str(lookup["port"]) == SERVICES[name]["environment"]["SERVICE_METRICS_PORT"]


def _balancers(setting: str) -> str:
    [value] = re.findall(f"{setting} (.*)", BALANCER)
    return str(value)


def _seconds(text: str) -> float:
    return float(text.removesuffix("s"))

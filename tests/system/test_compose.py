"""docker-compose.yml and Dockerfile: their form, and their commands run without Docker."""

import json
import re
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import asyncpg
import httpx2
import pytest
import yaml

from service import embedded
from service.application.errors import DependencyUnavailable
from service.cli import KEEP_ALIVE_SECONDS
from service.settings import Settings
from tests.builders import bearer
from tests.running import Cluster, TestDatabase
from tests.system.processes import (
    PATIENCE_SECONDS,
    ROOT,
    a_public_directory,
    finished,
    free_port,
    listening_url,
    started,
)

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
CONFIGS = {name: config["content"] for name, config in STACK["configs"].items()}


class Instruction(NamedTuple):
    name: str
    words: str


def dockerfile() -> list[Instruction]:
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", "").splitlines()
    return [Instruction(*line.split(maxsplit=1)) for line in lines if line.strip()]


def the(name: str) -> str:
    """The words of the last instruction of this name, which is the one that counts."""
    return [each.words for each in dockerfile() if each.name == name][-1]


BALANCER = CONFIGS["balancer"]
DEFAULTS = {name: field.default for name, field in Settings.model_fields.items()}
IMAGE_ENVIRONMENT = dict(word.split("=", 1) for word in the("ENV").split())
ENTRYPOINT = [
    sys.executable if word == "python" else word for word in json.loads(the("ENTRYPOINT"))
]
HEALTH_CHECK = json.loads(the("HEALTHCHECK").partition("CMD")[2])


def test_images_are_pinned_to_a_version() -> None:
    images = [service["image"] for service in SERVICES.values()] + [the("FROM")]

    assert [
        image for image in images if not re.fullmatch(r"[\w./-]+:v?\d+\.\d+[\w.-]*", image)
    ] == []


def test_what_runs_on_has_a_health_check_and_the_rest_ends() -> None:
    one_shots = {
        name
        for service in SERVICES.values()
        for name, needed in service.get("depends_on", {}).items()
        if needed["condition"] == "service_completed_successfully"
    }
    checks = {name: service.get("healthcheck", {}) for name, service in SERVICES.items()}
    own = {name for name, check in checks.items() if "test" in check}
    of_the_image = {name for name, service in SERVICES.items() if "build" in service} & {
        name for name, check in checks.items() if not check
    }

    assert one_shots == {"migrate"}
    assert of_the_image == {"api"}
    assert own == {"postgres", "balancer", "nats", "prometheus", "grafana"}
    assert set(SERVICES) - own - of_the_image - one_shots == {"relay"}


def test_api_and_relay_have_a_replica_to_lose() -> None:
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


def test_only_what_observes_is_in_a_profile() -> None:
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


def test_secrets_stand_in_the_environment_alone_and_the_examples_say_what_they_are() -> None:
    text = (ROOT / "docker-compose.yml").read_text()

    assert set(SECRETS) == {
        "POSTGRES_PASSWORD",
        "API_PASSWORD",
        "NATS_PASSWORD",
        "GRAFANA_PASSWORD",
        "SERVICE_JWT_SECRET",
    }
    assert all("development" in value for value in SECRETS.values())
    assert not [value for value in SECRETS.values() if value in text]
    assert not re.search(r"PASSWORD '\w|://\w+:\w+@", text)


def test_the_image_holds_what_the_service_needs_to_run_and_nothing_else() -> None:
    copied = [each.words.split()[0] for each in dockerfile() if each.name == "COPY"]
    let_in = re.findall("^!(.*)", (ROOT / ".dockerignore").read_text(), flags=re.MULTILINE)

    assert set(copied) == {"requirements/runtime.txt", "alembic.ini", "migrations/", "service/"}
    assert all((ROOT / path).exists() for path in copied)
    assert {path.rstrip("/") for path in copied} == set(let_in)
    assert "--no-cache-dir" in the("RUN")
    assert "--require-hashes" in the("RUN")


def test_the_image_is_of_a_numbered_user_who_is_not_root() -> None:
    user = re.fullmatch(r"(\d+):(\d+)", the("USER"))

    assert user
    assert "0" not in user.groups()


def test_no_package_index_is_named() -> None:
    texts = [(ROOT / name).read_text() for name in ("Dockerfile", "docker-compose.yml")]

    assert not [text for text in texts if "index-url" in text or "https://" in text]


def test_the_api_is_given_the_time_that_it_takes_to_shut_down() -> None:
    assert _seconds(SERVICES["api"]["stop_grace_period"]) > DEFAULTS["shutdown_timeout_seconds"]


def test_the_balancer_asks_for_readiness_and_finds_every_replica() -> None:
    replicas = SERVICES["api"]["deploy"]["replicas"]
    [slots, address] = re.findall(r"server-template replica (\d+) (\S+) check ", BALANCER)[0]

    assert "http-check send meth GET uri /readyz" in BALANCER
    assert "http-check expect status 200" in BALANCER
    assert address == f"api:{DEFAULTS['port']}"
    assert int(slots) >= 2 * replicas


def test_the_balancer_repeats_only_what_was_not_sent_or_is_safe_to_send_again() -> None:
    assert re.findall("retry-on (.*)", BALANCER) == ["conn-failure empty-response"]
    assert re.findall("disable-l7-retry (.*)", BALANCER) == [
        "unless { method GET HEAD } or { req.fhdr(Idempotency-Key) -m found }"
    ]
    assert "option http-buffer-request" in BALANCER  # else there is nothing left to repeat


def test_the_balancer_waits_longer_than_a_command_takes_and_idles_less_than_the_api() -> None:
    transaction_max = (
        DEFAULTS["database_statement_timeout_seconds"]
        + DEFAULTS["database_idle_in_transaction_timeout_seconds"]
    )
    longest_command = DEFAULTS["command_timeout_seconds"] + 3 * transaction_max

    assert _seconds(_balancers("timeout server")) > longest_command
    assert _seconds(_balancers("timeout http-keep-alive")) < KEEP_ALIVE_SECONDS
    assert _seconds(_balancers("hard-stop-after")) >= _seconds(_balancers("timeout server"))
    assert _seconds(SERVICES["balancer"]["stop_grace_period"]) > _seconds(
        _balancers("hard-stop-after")
    )


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
    jobs = yaml.safe_load(CONFIGS["prometheus"])["scrape_configs"]
    targets = [
        target for job in jobs for each in job["static_configs"] for target in each["targets"]
    ]
    [source] = yaml.safe_load(CONFIGS["grafana-data-sources"])["datasources"]
    [provider] = yaml.safe_load(CONFIGS["grafana-dashboards"])["providers"]
    mounted = [each["target"] for each in SERVICES["grafana"]["configs"]]

    assert targets == ["localhost:9090", "balancer:8404"]
    assert "bind :8404" in BALANCER
    assert source["url"] == "http://prometheus:9090"
    assert f"{provider['options']['path']}/dashboards.yaml" in mounted


async def test_the_stack_fails_a_session() -> None:
    async with _postgres() as database:
        migration = await finished(
            *SERVICES["migrate"]["command"],
            command=ENTRYPOINT,
            environment=_environment("migrate", database),
        )
        assert migration.code == 0, migration.err
        session = await database.a_session()

        environment = _environment("api", database)
        async with _api(environment) as client:
            token = await finished("token", "--user", str(session.user_id), environment=environment)
            client.headers |= bearer(token.out.strip())
            answers = [await client.post(f"/sessions/{session.id}/fail") for _ in range(2)]
            ready = await client.get("/readyz")
            health = await _health(str(client.base_url.port))

    assert [answer.status_code for answer in answers] == [200, 409]
    assert ready.status_code == 200
    assert health == 0


async def test_the_health_check_fails_where_nothing_listens() -> None:
    assert await _health(str(free_port())) != 0


def _balancers(setting: str) -> str:
    [value] = re.findall(f"{setting} (.*)", BALANCER)
    return str(value)


def _seconds(text: str) -> float:
    return float(text.removesuffix("s"))


async def _health(port: str) -> int:
    _, *arguments = HEALTH_CHECK
    done = await finished(*arguments, command=[sys.executable], environment={"SERVICE_PORT": port})
    return done.code


@asynccontextmanager
async def _postgres() -> AsyncIterator[TestDatabase]:
    """What the service `postgres` would be, on a port of its own."""
    given = SERVICES["postgres"]["environment"]
    with _server(given["POSTGRES_PASSWORD"]) as cluster:
        await cluster.create_database(given["POSTGRES_DB"])
        connection = await asyncpg.connect(cluster.url(given["POSTGRES_DB"]))
        try:
            for script in _scripts_of_the_first_start():
                await connection.execute(script)
            yield TestDatabase(cluster, given["POSTGRES_DB"], connection)
        finally:
            await connection.close()


@contextmanager
def _server(password: str) -> Iterator[Cluster]:
    port = free_port()
    options = {"listen_addresses": "127.0.0.1", "port": str(port), "fsync": "off"}
    with a_public_directory() as place:
        password_file = place / "password"
        password_file.write_text(password)
        initdb = ["-A", "scram-sha-256", "--pwfile", str(password_file)]
        with embedded.running(place / "server", options, initdb=initdb):
            yield Cluster(f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres")


def _scripts_of_the_first_start() -> list[str]:
    return [
        CONFIGS[mounted["source"]]
        for mounted in SERVICES["postgres"]["configs"]
        if mounted["target"].startswith("/docker-entrypoint-initdb.d/")
    ]


def _environment(name: str, database: TestDatabase) -> dict[str, str]:
    """The environment of a service, with hosts and ports exchanged for those of this machine."""
    environment: dict[str, str] = IMAGE_ENVIRONMENT | SERVICES[name]["environment"]
    here = urlsplit(database.url)
    url = environment["SERVICE_DATABASE_URL"].replace(
        "@postgres:5432/", f"@{here.hostname}:{here.port}/"
    )
    return environment | {
        "SERVICE_DATABASE_URL": url,
        "SERVICE_HOST": "127.0.0.1",
        "SERVICE_PORT": "0",
    }


@asynccontextmanager
async def _api(environment: dict[str, str]) -> AsyncIterator[httpx2.AsyncClient]:
    command = SERVICES["api"]["command"]
    async with started(*command, command=ENTRYPOINT, environment=environment) as process:
        url = await listening_url(process)
        async with httpx2.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS) as client:
            yield client

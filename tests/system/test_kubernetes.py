# SPDX-License-Identifier: MIT
"""deploy/kubernetes: its form: schemas, files, limits of pods, network."""

import copy
import json
import re

import jsonschema
import kubernetes_validate  # type: ignore[import-untyped]  # it has no types
import pytest

from service import __version__
from tests.system.compose import the as in_dockerfile
from tests.system.kubernetes import (
    BUILT_IN,
    CUSTOM,
    KUSTOMIZATION,
    MONITORING,
    PLACE,
    WORKLOADS,
    Manifest,
    container,
    of_kind,
    policies_of,
    ports,
    template,
    the,
)
from tests.system.processes import ROOT

KUBERNETES = ["1.34", "1.37"]
"""The first version with every field that is used, and the newest."""

LONG_LIVED = ["api", "relay"]
SERVICE_MONITOR = json.loads((ROOT / "tests/system/service-monitor.schema.json").read_text())


def _name(manifest: Manifest) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("manifest", BUILT_IN, ids=_name)
def test_a_manifest_fits_the_schema_of_kubernetes(manifest: Manifest, version: str) -> None:
    assert kubernetes_validate.validate(manifest, version, strict=True) == version


@pytest.mark.parametrize("manifest", CUSTOM, ids=_name)
def test_a_service_monitor_fits_its_schema(manifest: Manifest) -> None:
    jsonschema.Draft202012Validator(SERVICE_MONITOR).validate(manifest)


def test_a_misspelled_field_does_not_fit_the_schema() -> None:
    wrong = copy.deepcopy(WORKLOADS["api"])
    wrong["spec"]["template"]["spec"]["terminationGracePeriod"] = 45

    with pytest.raises(jsonschema.ValidationError, match="terminationGracePeriod"):
        kubernetes_validate.validate(wrong, KUBERNETES[0], strict=True)


def test_every_file_is_a_resource_of_a_kustomization() -> None:
    files = {str(path.relative_to(PLACE)) for path in PLACE.rglob("*") if path.is_file()}

    assert files == {
        "kustomization.yaml",
        *KUSTOMIZATION["resources"],
        "monitoring/kustomization.yaml",
        *(f"monitoring/{name}" for name in MONITORING["resources"]),
    }


def test_a_kustomization_does_nothing_but_name_namespace_and_image() -> None:
    assert set(KUSTOMIZATION) == {"apiVersion", "kind", "namespace", "resources", "images"}
    assert set(MONITORING) == {"apiVersion", "kind", "namespace", "resources"}
    assert (
        KUSTOMIZATION["namespace"]
        == MONITORING["namespace"]
        == of_kind("Namespace")[0]["metadata"]["name"]
    )
    assert KUSTOMIZATION["images"] == [{"name": "training-sessions", "newTag": __version__}]
    assert {container(name)["image"] for name in WORKLOADS} == {"training-sessions"}


def test_no_secret_is_in_the_repository() -> None:
    assert not of_kind("Secret")
    assert not [path for path in PLACE.rglob("*.yaml") if re.search(r"://\w+:", path.read_text())]


@pytest.mark.parametrize("name", LONG_LIVED)
def test_two_replicas_are_spread_and_only_one_is_away_at_a_time(name: str) -> None:
    deployment = WORKLOADS[name]["spec"]
    [spread] = template(name)["spec"]["topologySpreadConstraints"]
    budget = the("PodDisruptionBudget", name)["spec"]

    assert deployment["replicas"] == 2
    assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert budget["maxUnavailable"] == 1
    assert (
        budget["selector"]
        == spread["labelSelector"]
        == deployment["selector"]
        == {"matchLabels": template(name)["metadata"]["labels"]}
    )


@pytest.mark.parametrize("name", LONG_LIVED)
def test_a_service_leads_to_the_ports_of_its_pods(name: str) -> None:
    service = the("Service", name)["spec"]

    assert service["selector"] == template(name)["metadata"]["labels"]
    assert [each["targetPort"] for each in service["ports"]] == list(ports(name))


@pytest.mark.parametrize("monitor", CUSTOM, ids=_name)
def test_a_service_monitor_finds_the_service_of_its_name(monitor: Manifest) -> None:
    service = the("Service", monitor["metadata"]["name"])
    wanted = monitor["spec"]["selector"]["matchLabels"]
    [endpoint] = monitor["spec"]["endpoints"]

    assert wanted == service["metadata"]["labels"]
    assert endpoint["port"] in [each["name"] for each in service["spec"]["ports"]]
    assert service["metadata"]["labels"][monitor["spec"]["jobLabel"]] == service["metadata"]["name"]


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_pod_is_bound_as_the_restricted_standard_demands(name: str) -> None:
    pod, own = template(name)["spec"], container(name)["securityContext"]
    user, group = map(int, in_dockerfile("USER").split(":"))

    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": group,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert own == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert [volume["name"] for volume in pod["volumes"]] == ["temporary"]
    assert pod["volumes"][0]["emptyDir"]["sizeLimit"]


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_pod_says_what_it_needs_and_has_an_end_of_memory(name: str) -> None:
    resources = container(name)["resources"]

    assert set(resources["requests"]) == {"cpu", "memory"}
    assert set(resources["limits"]) == {"memory"}


@pytest.mark.parametrize("name", LONG_LIVED)
def test_a_workload_has_an_account_without_a_token(name: str) -> None:
    account = template(name)["spec"]["serviceAccountName"]

    assert the("ServiceAccount", account)["automountServiceAccountToken"] is False


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_pod_reaches_names_the_database_and_what_its_command_needs(name: str) -> None:
    allowed = {
        port["port"]
        for policy in policies_of(name)
        for rule in policy["spec"].get("egress", [])
        for port in rule["ports"]
    }
    own = {"api": {443}, "relay": {4222}, "migration": set(), "audit": {4222}}[name]

    assert allowed == {53, 5432} | own


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_pod_is_reached_on_its_ports_from_named_namespaces_only(name: str) -> None:
    rules = [rule for policy in policies_of(name) for rule in policy["spec"].get("ingress", [])]
    sources = {
        port["port"]: source["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
        for rule in rules
        for port in rule["ports"]
        for source in rule["from"]
    }

    assert (
        sources
        == {
            "api": {"http": "ingress", "metrics": "monitoring"},
            "relay": {"metrics": "monitoring"},
            "migration": {},
            "audit": {},
        }[name]
    )
    assert set(sources) == set(ports(name))


def test_the_audit_runs_once_a_day_and_only_one_at_a_time() -> None:
    audit = WORKLOADS["audit"]["spec"]
    job = audit["jobTemplate"]["spec"]

    assert re.fullmatch(r"\d+ \d+ \* \* \*", audit["schedule"])
    assert audit["concurrencyPolicy"] == "Forbid"
    assert job["activeDeadlineSeconds"] < 24 * 3600
    assert job["backoffLimit"] == 0
    assert container("audit")["args"] == ["relay", "--audit"]


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_pod_is_closed_where_no_policy_opens_it(name: str) -> None:
    closing = [
        policy["metadata"]["name"]
        for policy in policies_of(name)
        if not {"ingress", "egress"} & set(policy["spec"])
    ]

    assert closing == ["nothing-else"]

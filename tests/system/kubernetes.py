# SPDX-License-Identifier: MIT
"""Reads deploy/kubernetes as `kubectl apply -k` does."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.system.processes import ROOT

Manifest = dict[str, Any]

PLACE = ROOT / "deploy" / "kubernetes"
KUSTOMIZATION: Manifest = yaml.safe_load((PLACE / "kustomization.yaml").read_text())
MONITORING: Manifest = yaml.safe_load((PLACE / "monitoring" / "kustomization.yaml").read_text())


def manifests(place: Path, kustomization: Manifest) -> list[Manifest]:
    texts = [(place / name).read_text() for name in kustomization["resources"]]
    return [each for text in texts for each in yaml.safe_load_all(text)]


BUILT_IN = manifests(PLACE, KUSTOMIZATION)
CUSTOM = manifests(PLACE / "monitoring", MONITORING)


def the(kind: str, name: str) -> Manifest:
    [found] = [
        each for each in BUILT_IN + CUSTOM
        if each["kind"] == kind and each["metadata"]["name"] == name
    ]  # fmt: skip
    return found


def of_kind(kind: str) -> list[Manifest]:
    return [each for each in BUILT_IN + CUSTOM if each["kind"] == kind]


WORKLOADS = {
    "api": the("Deployment", "api"),
    "relay": the("Deployment", "relay"),
    "migration": the("Job", "migration"),
    "audit": the("CronJob", "audit"),
}
SECRETS = {name: f"training-sessions-{name}" for name in WORKLOADS} | {
    "audit": "training-sessions-relay"
}


def template(name: str) -> Manifest:
    spec: Manifest = WORKLOADS[name]["spec"]
    found: Manifest = spec.get("jobTemplate", {}).get("spec", spec)["template"]
    return found


def container(name: str) -> Manifest:
    [found] = template(name)["spec"]["containers"]
    return dict(found)


def ports(name: str) -> dict[str, int]:
    return {each["name"]: each["containerPort"] for each in container(name).get("ports", [])}


def plain_environment(name: str) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container(name)["env"] if "value" in each}


def secret_environment(name: str) -> dict[str, Manifest]:
    """The reference to a key of a secret, by variable."""
    return {
        each["name"]: each["valueFrom"]["secretKeyRef"]
        for each in container(name)["env"]
        if "valueFrom" in each
    }


def probes(name: str) -> dict[str, Manifest]:
    return {
        key: value["httpGet"] for key, value in container(name).items() if key.endswith("Probe")
    }


def policies_of(name: str) -> Iterator[Manifest]:
    """The network policies that select the pods of a workload."""
    labels = template(name)["metadata"]["labels"]
    for policy in of_kind("NetworkPolicy"):
        if _selects(policy["spec"]["podSelector"], labels):
            yield policy


def _selects(selector: Manifest, labels: dict[str, str]) -> bool:
    wanted = selector.get("matchLabels", {}).items()
    among = selector.get("matchExpressions", [])
    assert all(each["operator"] == "In" for each in among)
    return wanted <= labels.items() and all(
        labels.get(each["key"]) in each["values"] for each in among
    )

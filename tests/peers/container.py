"""A container without an engine: what a Dockerfile says is done in a copy-on-write view of this machine's root.

The base image is the one thing that differs: instead of python:3.11-slim and node:22-slim there is this machine, with
the Python that runs the tests and its npm. Every other line is carried out as it stands, in a mount namespace that
vanishes with this process, so that nothing outside it changes. A container is such a view made read-only, entered as
the image's user without any capability.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.peers.dockerfile import Stage, stages

_BUILD_ENVIRONMENT = ("PATH", "HOME", "LANG")
_PACKAGE_CLIENTS = ("PIP_", "SSL_", "http", "HTTP", "npm_config_", "NPM_CONFIG_", "NODE_")  # to find their registries
_SIZE = "10g"  # of memory, at most: the view of a worker with CUDA needs most of it
_PROGRAMS = ("unshare", "nsenter", "/usr/bin/setpriv", "/usr/sbin/chroot")
_NSENTER = shutil.which("nsenter") or "nsenter"
_CHROOT = "/usr/sbin/chroot"
_PYTHON = Path(sys.base_prefix).resolve() / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"


@dataclass
class Image:
    """What a build made: where its root is, and how a container of it is run."""

    namespace: "Namespace"
    root: Path
    stage: Stage
    tmpfs: list[str] = field(default_factory=lambda: ["/tmp", "/run/overread"])  # noqa: S108

    @property
    def user(self) -> str:
        """User and group by number."""
        return self.stage.last("USER")

    def environment(self, extra: Mapping[str, str]) -> dict[str, str]:
        """The variables of a container."""
        return {**self.stage.environment(), **extra}

    def prepare(self, data: Path, files: Mapping[str, Path] | None = None) -> None:
        """Make the root read-only, with temporary memory where a container has it and ``data`` as the volume.

        ``files`` are mounted files: where they are seen, and which they are.
        """
        for target, source in (files or {}).items():
            self.namespace.run("install", "-D", "--mode=0444", str(source), f"{self.root}{target}")
        user, _, group = self.user.partition(":")
        root = str(self.root)
        for place in self.tmpfs:
            options = f"size=64m,uid={user},gid={group},mode=0700"
            self.namespace.run("mount", "-t", "tmpfs", "-o", options, "tmpfs", f"{root}{place}")
        self.namespace.run("mount", "--bind", str(data), f"{root}{json.loads(self.stage.last('VOLUME'))[0]}")
        self.namespace.run("mount", "-o", "remount,ro", root)

    def command(self, *program: str) -> list[str]:
        """How ``program`` is started in a container of this image."""
        user, _, group = self.user.partition(":")
        unprivileged = [
            *("/usr/bin/setpriv", "--reuid", user, "--regid", group, "--clear-groups", "--no-new-privs"),
            *("--bounding-set=-all", "--inh-caps=-all"),
        ]
        inside = f"cd {shlex.quote(self.stage.last('WORKDIR'))} && exec {shlex.join(program)}"
        return [*self.namespace.enter(), _CHROOT, str(self.root), *unprivileged, "/bin/sh", "-c", inside]

    def run(
        self, *program: str, environment: Mapping[str, str] | None = None, typed: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end; ``typed`` is its standard input."""
        return subprocess.run(
            self.command(*program),
            env=self.environment(environment or {}),
            input=typed,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def start(self, *program: str, environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
        """Start a program; signals reach it itself."""
        with log.open("ab") as output:
            return subprocess.Popen(
                self.command(*program),
                env=self.environment(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )


class Namespace:
    """A mount namespace that lives as long as the process that holds it open."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._holder.stdin is not None
        assert self._holder.stdout is not None
        self._holder.stdin.write(b".")  # cat answers from inside: the namespace is there
        self._holder.stdin.flush()
        assert self._holder.stdout.read(1) == b"."
        self.run("mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(folder))

    def enter(self) -> list[str]:
        """The beginning of a command that runs inside."""
        return [_NSENTER, f"--mount=/proc/{self._holder.pid}/ns/mnt"]

    def run(self, *command: str, **how: Any) -> None:
        """Run a command inside; it must succeed."""
        done = subprocess.run([*self.enter(), *command], capture_output=True, text=True, check=False, **how)
        assert done.returncode == 0, f"{shlex.join(command)}: {done.stdout[-2000:]} {done.stderr[-4000:]}"

    def close(self) -> None:
        """Let it go; its mounts go with it."""
        assert self._holder.stdin is not None
        self._holder.stdin.close()
        self._holder.wait(20)

    def view(self, name: str) -> Path:
        """A copy-on-write view of this machine's root, in which the tests' Python can be reached by every account."""
        upper, work, root = (self.folder / f"{name}.{part}" for part in ("upper", "work", "root"))
        self.run("mkdir", str(upper), str(work), str(root))
        layers = f"lowerdir=/,upperdir={upper},workdir={work}"
        self.run("mount", "-t", "overlay", "-o", layers, "overlay", str(root))
        for place in ("/proc", "/dev"):
            self.run("mount", "--rbind", place, f"{root}{place}")
        for parent in (_PYTHON.parent, *_PYTHON.parent.parents):
            self.run("chmod", "a+rx", f"{root}{parent}")
        self.run("ln", "-sf", _PYTHON.name, f"{root}{_PYTHON.parent}/python")
        return root


@contextmanager
def built_image(
    dockerfile: Path, context: Path, folder: Path, arguments: dict[str, str] | None = None
) -> Iterator[Image]:
    """Carry out every line of a Dockerfile; the image lasts as long as the block."""
    namespace = Namespace(folder)
    try:
        roots: dict[str, Path] = {}
        for number, stage in enumerate(stages(dockerfile, arguments)):
            root = roots[stage.name] = namespace.view(f"stage{number}")
            _carry_out(stage, namespace, root, context, roots)
        yield Image(namespace, root, stage)
    finally:
        namespace.close()


def _carry_out(stage: Stage, namespace: Namespace, root: Path, context: Path, roots: Mapping[str, Path]) -> None:
    folder = Path("/")
    environment = {key: value for key, value in os.environ.items() if key.startswith(_PACKAGE_CLIENTS)}
    environment |= {key: value for key, value in os.environ.items() if key in _BUILD_ENVIRONMENT}
    environment["PATH"] = f"{_PYTHON.parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    for keyword, argument in stage.instructions:
        match keyword:
            case "ENV":
                environment |= {k: v for k, v in stage.environment().items() if k != "PIP_NO_CACHE_DIR"}
            case "WORKDIR":
                folder = Path(argument)
                namespace.run("mkdir", "-p", f"{root}{folder}")
            case "COPY":
                _copy(namespace, root, folder, context, argument, roots)
            case "RUN":
                program = json.loads(argument)
                inside = f"cd {shlex.quote(str(folder))} && exec {shlex.join(program)}"
                namespace.run(_CHROOT, str(root), "/bin/sh", "-c", inside, env=environment)


def _copy(
    namespace: Namespace, root: Path, folder: Path, context: Path, argument: str, roots: Mapping[str, Path]
) -> None:
    words = argument.split()
    source_root = context
    if words[0].startswith("--from="):
        source_root = roots[words.pop(0).removeprefix("--from=")]
    *sources, target = words
    for source in sources:
        place = Path(f"{root}{folder / target}")
        namespace.run("mkdir", "-p", str(place if target == "./" else place.parent))
        namespace.run("cp", "-a", "--no-preserve=ownership", f"{source_root}/{source.lstrip('/')}", str(place))


def engine_is_missing() -> str:
    """Why no such container can be made here; empty when it can."""
    if os.geteuid() != 0:
        return "only root can make a view of this machine"
    missing = [program for program in _PROGRAMS if shutil.which(program) is None]
    return f"{', '.join(missing)} not installed" if missing else ""

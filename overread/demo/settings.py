"""The settings of the demonstration: its own folder, its own ports, never the site's file."""

import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from overread.settings import CONFIG_VARIABLE

USUAL_DICOM_PORT = 11112
USUAL_WEB_PORT = 8080
QUIET_SECONDS = 2.0  # the demo's study comes over loopback in one association
_MIN_FREE_BYTES = 100 * 2**20

_CONFIG = """\
# Written by `overread demo` at each start.
data_dir = {data_dir}
[listener]
port = {listener_port}
[web]
port = {web_port}
viewer_folder = {viewer_folder}
[study]
quiet_seconds = {quiet_seconds}
[spool]
min_free_bytes = {min_free_bytes}
[[destinations]]
name = "pacs"
ae_title = {ae_title}
host = {host}
port = {port}
profile = {profile}
"""


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """Where the demo keeps its things, and where its doors are."""

    data_dir: Path
    listener_port: int
    web_port: int
    pacs_ae_title: str
    pacs_host: str
    pacs_port: int
    viewer_folder: Path | None = None

    @property
    def config_file(self) -> Path:
        """The settings file of the demo, which also lets every other command look into it."""
        return self.data_dir / "overread.toml"

    @property
    def profile(self) -> str:
        """What the destination is sent: with a viewer what that shows, else what any PACS takes."""
        return "ohif" if self.viewer_folder else "any"

    @property
    def dashboard(self) -> str:
        """Where a browser finds the dashboard."""
        return f"http://127.0.0.1:{self.web_port}/"

    def environment(self) -> dict[str, str]:
        """The variables that make every role of the demo read its settings file and nothing else."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OVERREAD_")}
        return inherited | {CONFIG_VARIABLE: str(self.config_file)}

    def write(self) -> None:
        """Write the settings file."""
        self.config_file.write_text(
            _CONFIG.format(
                data_dir=json.dumps(str(self.data_dir)),
                listener_port=self.listener_port,
                web_port=self.web_port,
                viewer_folder=json.dumps(str(self.viewer_folder or "")),
                quiet_seconds=QUIET_SECONDS,
                min_free_bytes=_MIN_FREE_BYTES,
                ae_title=json.dumps(self.pacs_ae_title),
                host=json.dumps(self.pacs_host),
                port=self.pacs_port,
                profile=json.dumps(self.profile),
            ),
            encoding="utf-8",
        )


def demo_data_dir() -> Path:
    """Where a system service would keep its data as root, where a user's program would otherwise."""
    if os.geteuid() == 0:
        return Path("/var/lib/overread-demo")
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "overread-demo"


def free_port(usual: int) -> int:
    """The usual port if nobody has it, else any free one."""
    for wanted in (usual, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", wanted))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise AssertionError("the kernel always has a free port")

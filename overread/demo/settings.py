"""The settings of the demonstration: its own folder, its own ports, never the site's file."""

import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from overread.settings import CONFIG_VARIABLE

_USUAL_PORT = 11112
QUIET_SECONDS = 2.0  # the demo's study comes over loopback in one association


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """Where the demo keeps its things, and where its doors are."""

    data_dir: Path
    listener_port: int
    pacs_ae_title: str
    pacs_host: str
    pacs_port: int

    def environment(self) -> dict[str, str]:
        """The variables that make every role of the demo use these settings and no others."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OVERREAD_")}
        destination = {
            "name": "pacs",
            "ae_title": self.pacs_ae_title,
            "host": self.pacs_host,
            "port": self.pacs_port,
        }
        return inherited | {
            CONFIG_VARIABLE: os.devnull,
            "OVERREAD_DATA_DIR": str(self.data_dir),
            "OVERREAD_LISTENER_PORT": str(self.listener_port),
            "OVERREAD_STUDY_QUIET_SECONDS": str(QUIET_SECONDS),
            "OVERREAD_SPOOL_MIN_FREE_BYTES": str(100 * 2**20),
            "OVERREAD_DESTINATIONS": json.dumps([destination]),
        }


def demo_data_dir() -> Path:
    """Where a system service would keep its data as root, where a user's program would otherwise."""
    if os.geteuid() == 0:
        return Path("/var/lib/overread-demo")
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "overread-demo"


def free_port() -> int:
    """The usual DICOM port of Overread if nobody has it, else any free one."""
    for wanted in (_USUAL_PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", wanted))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise AssertionError("the kernel always has a free port")

"""A PostgreSQL as others run it: over TCP, with a password."""

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from storage.postgres.embedded import EmbeddedPostgres, _packaged_programs

_ROLES_SQL = Path(__file__).parents[2] / "docker" / "postgres" / "roles.sql"


_ODD = "'$ %/:@"  # what passwords may hold and a URL would have to escape
OWNER, SERVICE = "overread_owner", "overread_app"  # as in docker/compose.yaml


@dataclass(frozen=True)
class TcpServer:
    """A server with the roles of docker/postgres/roles.sql; it may be started and stopped as one likes."""

    server: EmbeddedPostgres
    port: int
    owner_password: str
    service_password: str

    def start(self) -> None:
        """Start it, with or without an earlier stop."""
        os.environ["PGPORT"] = str(self.port)  # the URL of the embedded server leaves the port to the driver
        try:
            self.server.start()
        finally:
            del os.environ["PGPORT"]

    def stop(self) -> None:
        """Stop it; its data stays."""
        self.server.stop()

    def url(self, role: str = SERVICE, query: str = "") -> str:
        """A URL of the database over TCP, without a password."""
        return f"postgresql://{role}@127.0.0.1:{self.port}/overread{query}"

    def run_role_script(self) -> None:
        """Run the script that compose.yaml gives to the database's image, with psql as that image does."""
        superuser = f"{self.server.owner_url}&port={self.port}"
        owner = f"ALTER ROLE overread_owner LOGIN SUPERUSER PASSWORD '{self.owner_password}'"
        for what in (["--command", "CREATE ROLE overread_owner", "--command", owner], ["--file", str(_ROLES_SQL)]):
            subprocess.run(
                [str(_packaged_programs() / "bin" / "psql"), "--set=ON_ERROR_STOP=1", "--quiet", *what, superuser],
                env={"OVERREAD_SERVICE_PASSWORD": self.service_password},
                check=True,
                capture_output=True,
            )


@pytest.fixture
def tcp_server() -> Iterator[Callable[..., TcpServer]]:
    """Make servers that are not started yet: ``tcp_server()``."""
    with ExitStack() as cleanup:
        root = Path(tempfile.mkdtemp(prefix="overread-tcp-"))
        root.chmod(0o711)
        cleanup.callback(shutil.rmtree, root, ignore_errors=True)

        def make() -> TcpServer:
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
            options = (f"port={port}", "listen_addresses=127.0.0.1", "fsync=off")
            server = EmbeddedPostgres(root / str(port), options)
            cleanup.callback(server.stop)
            made = TcpServer(server, port, secrets.token_hex(12), secrets.token_hex(12) + _ODD)
            made.start()
            made.run_role_script()
            made.stop()
            return made

        yield make

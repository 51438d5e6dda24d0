"""`[database] url` says how far the server is trusted; the driver's own words count."""

from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from storage.errors import DatabaseUnavailable
from storage.postgres import schema
from storage.postgres.engine import open_database
from tests.peers.postgres_server import OWNER, TcpServer
from tests.peers.tls_in_front import tls_in_front


def test_a_verified_connection_is_encrypted(
    tcp_server: Callable[..., TcpServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With sslmode=verify-full and the right authority the schema is made and read over TLS, password from PGPASSWORD;
    with another authority, another name or no TLS there is no connection at all."""
    ours, theirs = trustme.CA(), trustme.CA()
    server = tcp_server()
    server.start()
    ours.cert_pem.write_to_path(tmp_path / "ca.crt")
    theirs.cert_pem.write_to_path(tmp_path / "other.crt")
    monkeypatch.setenv("PGPASSWORD", server.owner_password)

    with tls_in_front(server.port, ours) as port:

        def url(mode: str, authority: str = "ca.crt", host: str = "127.0.0.1") -> str:
            asked = f"?sslmode={mode}&sslrootcert={tmp_path / authority}"
            return f"postgresql://{OWNER}@{host}:{port}/overread{asked}"

        revision = schema.upgrade(url("verify-full"))
        database = open_database(url("verify-full"), "overread test")
        connection = database.dedicated_connection()  # the kind that LISTEN and the housekeeper's lock use
        encrypted = connection.info.ssl_in_use
        connection.close()
        database.close()

        assert encrypted is True
        assert schema.check(url("require")) == revision
        for refused in (url("verify-full", "other.crt"), url("verify-full", host="localhost"), url("disable")):
            with pytest.raises(DatabaseUnavailable):
                schema.check(refused)

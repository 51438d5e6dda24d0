"""The whole web door on a port of its own, over a real database, with one account of each role."""

import contextlib
import queue
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg2

from listener.scu.settings import DestinationSettings
from listener.web import server
from listener.web.hardening import harden
from listener.web.main import Door, open_door
from listener.web.passwords import hash_password
from listener.web.settings import WebSettings
from storage.domain.account import Role
from storage.postgres.account_rows import PostgresAccountDirectory
from storage.postgres.engine import open_database
from storage.settings import JobSettings, SpoolSettings
from storage.workitem_settings import WorkitemSettings

PASSWORD = "a long enough password"
_WORKITEMS = WorkitemSettings(enabled=True)  # what is off until configured is on here, so that its routes are tested
_HASHES: dict[str, str] = {}


@dataclass
class WebDoor:
    """A door that is open, and ways to come in."""

    door: Door
    web: WebSettings
    port: int
    accounts: PostgresAccountDirectory
    data_dir: Path
    clients: list[httpx.Client] = field(default_factory=list)

    def browser(self, **headers: str) -> httpx.Client:
        """Somebody who has not logged in."""
        client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=60)
        self.clients.append(client)
        return client

    def logged_in(self, name: str) -> httpx.Client:
        """The browser of an account; by default an account is named as its only role."""
        client = self.browser()
        answer = log_in(client, name, PASSWORD)
        assert answer.status_code == 303, answer.text
        return client

    def add(self, name: str, *roles: Role) -> None:
        """Make an account with the usual password."""
        if PASSWORD not in _HASHES:  # hashing is slow on purpose
            _HASHES[PASSWORD] = hash_password(PASSWORD)
        self.accounts.add(name, _HASHES[PASSWORD], frozenset(roles), "tester")


@contextmanager
def opened(
    database_url: str,
    data_dir: Path,
    destinations: tuple[DestinationSettings, ...] = (),
    workitems: WorkitemSettings = _WORKITEMS,
    **settings: Any,
) -> Iterator[WebDoor]:
    """A door with the accounts viewer, operator, administrator and auditor."""
    web = WebSettings(**{"port": 0, **settings})
    database = open_database(database_url, "test")
    accounts = PostgresAccountDirectory(database)
    try:
        with open_door(
            web,
            data_dir=data_dir,
            database_url=database_url,
            spool=SpoolSettings(min_free_bytes=0),
            jobs=JobSettings(),
            destinations=destinations,
            workitems=workitems,
        ) as door:
            ports: queue.Queue[int] = queue.Queue()
            serving = threading.Thread(
                target=server.run,
                args=(harden(door.app, web), web, door.stopping, ports.put, door.certificate_refused),
                kwargs={"websockets": workitems.enabled},
                name="web door",
            )
            serving.start()
            made = WebDoor(door, web, ports.get(timeout=60), accounts, data_dir)
            try:
                for role in Role:
                    made.add(role, role)
                yield made
            finally:
                for client in made.clients:
                    client.close()
                door.stopping.set()
                serving.join()
    finally:
        database.close()


def log_in(client: httpx.Client, name: str, password: str, **fields: str) -> Any:
    """Fill in the login form and send it."""
    return client.post("/login", data=form_of(client, "/login") | {"name": name, "password": password} | fields)


def form_of(client: httpx.Client, path: str) -> dict[str, str]:
    """The hidden fields of the first form with a proof on a page."""
    page = client.get(path).text
    return dict(re.findall(r'<input type="hidden" name="(proof|form_token)" value="([^"]*)"', page))


@contextmanager
def without_database(url: str) -> Iterator[None]:
    """Nobody gets a connection to the test's database for as long as the block."""
    parts = urlsplit(url)
    name = parts.path.removeprefix("/")
    with contextlib.closing(psycopg2.connect(parts._replace(path="/postgres").geturl())) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
            yield
            cursor.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
